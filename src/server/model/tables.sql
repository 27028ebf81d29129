/*
 * tables.sql: what a version of a model is made of, what its approximation is off by, and the sketch by which it is found.
 */

create function sparse_create_model()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if to_regclass('sparse.file') is not null then
        -- formats that an older version of the extension did not know
        if not exists (select from pg_constraint c
                       where c.conrelid = 'sparse.file'::regclass and c.contype = 'c' and pg_get_constraintdef(c.oid) like '%pytorch%') then
            alter table sparse.file drop constraint file_format_check,
                add constraint file_format_check check (format in ('safetensors', 'gguf', 'pytorch', 'bytes'));
        end if;
        return;
    end if;
    create table sparse.file (
        version bigint not null references sparse.version,
        ordinal integer not null check (ordinal >= 0),
        path text not null,
        format text not null check (format in ('safetensors', 'gguf', 'pytorch', 'bytes')),
        bytes bigint not null check (bytes >= 0),
        sha256 bytea not null check (length(sha256) = 32),
        object bigint not null,
        object_bytes bigint not null check (object_bytes >= 0 and object_bytes <= bytes),
        checksum bytea check (length(checksum) = 16),
        primary key (version, ordinal),
        unique (version, path)
    );
    create index file_sha256 on sparse.file (sha256, version, ordinal);
    create index file_object on sparse.file (object, version);
    comment on table sparse.file is 'files of a version: the bytes of its object (the whole file, or its literal: all that is no tensor''s), and its tensors';
    comment on column sparse.file.checksum is 'XXH3 (128 bits) of its bytes and its SHA-256, checked whenever it is read whole; null while it is being uploaded';

    create table sparse.tensor (
        version bigint not null,
        file integer not null,
        ordinal integer not null check (ordinal >= 0),
        name text not null,
        dtype text not null,
        shape bigint[] not null,
        first_byte bigint not null check (first_byte >= 0),
        bytes bigint not null check (bytes >= 0),
        object bigint not null,
        primary key (version, file, ordinal),
        foreign key (version, file) references sparse.file
    );
    create index tensor_name on sparse.tensor (version, name);
    create index tensor_object on sparse.tensor (object, version);
    comment on table sparse.tensor is 'tensors of a file, in the order of their bytes; first_byte counts from the start of the file';

    create table sparse.approximation (
        version bigint not null references sparse.version,
        file integer not null,
        ordinal integer not null,
        tensor text not null,
        method text not null check (method in ('exact', 'svd', 'int8', 'bit1')),
        rank integer check (rank > 0),
        max_abs double precision not null,
        relative_l2 double precision not null,
        max_ulp bigint not null,
        primary key (version, file, ordinal),
        foreign key (version, file, ordinal) references sparse.tensor on delete cascade
    );
    comment on table sparse.approximation is 'how far each tensor of an approximation is from the exact one, as measured when it was made';
    comment on column sparse.approximation.method is 'exact: this tensor was left as it is';
    comment on column sparse.approximation.rank is 'of an svd: of the product that was added';
    comment on column sparse.approximation.max_abs is 'the largest difference of an element';
    comment on column sparse.approximation.relative_l2 is 'the root of the sum of squared differences, divided by that of the squared elements';
    comment on column sparse.approximation.max_ulp is 'so many floats of the dtype lie between an element and the exact one, at most';

    create table sparse.sketch (
        version bigint primary key references sparse.version,
        architecture bigint not null,
        sketch bytea not null check (length(sketch) <= 4096)
    );
    -- thousands are read by one search: in the row itself, and as they are
    alter table sparse.sketch alter column sketch set storage plain;
    create index sketch_architecture on sparse.sketch (architecture);
    comment on table sparse.sketch is 'samples of the tensors of versions, by which sparse_find_parent() finds parents without reading tensors';
    comment on column sparse.sketch.architecture is 'a hash of the shapes that versions have which may be kin';

    create table sparse.unoptimized (
        version bigint primary key references sparse.version,
        begun_at timestamptz
    );
    comment on table sparse.unoptimized is 'versions that were imported or uploaded with little effort, and are to be looked through for better predictions by sparse_nightly() or sparse_optimize()';
    comment on column sparse.unoptimized.begun_at is 'when somebody last turned to it: it comes to all others before';

    -- The version decides who sees what belongs to it, once it is there.
    alter table sparse.file enable row level security;
    alter table sparse.tensor enable row level security;
    alter table sparse.approximation enable row level security;
    create policy of_version on sparse.file for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
    create policy of_version on sparse.tensor for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
    create policy of_version on sparse.approximation for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
end
$function$;
comment on function sparse_create_model() is
'The part of sparse_create_store() that makes the tables of models; and of sparse_update_store(), that adds the formats of files which they lack.';

create function sparse_attach_model()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not exists (select from pg_attribute where attrelid = 'sparse.sketch'::regclass and attname = 'width') then
        alter table sparse.sketch add column width bigint not null default 0;
        create index sketch_width on sparse.sketch (width);
        comment on column sparse.sketch.width is 'the commonest length of its norms, by which kin of another form are found; 0: unknown';
    end if;
end
$function$;
comment on function sparse_attach_model() is
'The part of sparse_create_store() and sparse_update_store() that adds to sketches what finds kin of another form, where it is missing.';
