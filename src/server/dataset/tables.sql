/*
 * tables.sql: what a version of a dataset is made of.
 */

create function sparse_create_dataset()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    create table sparse.split (
        version bigint not null references sparse.version,
        ordinal smallint not null check (ordinal >= 0),
        name text not null check (name <> ''),
        rows bigint not null check (rows >= 0),
        key smallint[] not null default '{}',
        primary key (version, ordinal),
        unique (version, name)
    );
    comment on table sparse.split is 'splits of a dataset version: train, validation, test; most have one, "default"';
    comment on column sparse.split.key is 'ordinals of the columns that tell rows apart';

    create table sparse.column (
        version bigint not null,
        split smallint not null,
        ordinal smallint not null check (ordinal >= 0),
        name text not null,
        type text not null,
        structure text not null,
        bytes bigint not null check (bytes >= 0),
        sha256 bytea not null check (length(sha256) = 32),
        primary key (version, split, ordinal),
        foreign key (version, split) references sparse.split
    );
    comment on table sparse.column is 'columns of a split, in their order';
    comment on column sparse.column.structure is 'what the type was made of when it was stored: fields of composites, bases of domains, subtypes of ranges';
    comment on column sparse.column.bytes is 'bytes of all values';
    comment on column sparse.column.sha256 is 'SHA-256 over all rows: the length of the value (u32, little-endian; all ones: null) and its bytes';

    create table sparse.column_chunk (
        version bigint not null,
        split smallint not null,
        ordinal smallint not null,
        first_row bigint not null check (first_row >= 0),
        rows integer[] not null,
        object bigint[] not null check (cardinality(object) = cardinality(rows)),
        primary key (version, split, ordinal, first_row),
        foreign key (version, split, ordinal) references sparse.column
    );
    comment on table sparse.column_chunk is 'chunks of a column, in order, up to 128 in a row';
    comment on column sparse.column_chunk.rows is 'rows of each chunk; below 0: as many, and the content is plain';

    -- The version decides who sees what belongs to it, once it is there.
    alter table sparse.split enable row level security;
    alter table sparse.column enable row level security;
    alter table sparse.column_chunk enable row level security;
    create policy of_version on sparse.split for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
    create policy of_version on sparse.column for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
    create policy of_version on sparse.column_chunk for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
end
$function$;
comment on function sparse_create_dataset() is
'The part of sparse_create_store() that makes the tables of datasets.';
