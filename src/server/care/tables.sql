/*
 * tables.sql: what versions expire by, and how far a repack has come.
 */

create function sparse_create_care()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if to_regclass('sparse.expiry') is null then
        create table sparse.expiry (
            prefix text primary key,
            keep_last integer not null default 0 check (keep_last >= 0),
            keep_tagged boolean not null default true,
            older_than interval,
            check (keep_last > 0 or older_than is not null)
        );
        comment on table sparse.expiry is 'which versions sparse_nightly() drops, as sparse_expire() would: of the prefixes that a name has, the longest counts';
        comment on column sparse.expiry.keep_last is 'so many of the newest ready revisions of each name stay; 0: none for that reason';
        comment on column sparse.expiry.keep_tagged is 'what bears a tag stays';
        comment on column sparse.expiry.older_than is 'what is younger stays; null: nothing for that reason';
    end if;
    if to_regclass('sparse.repack') is null then
        create table sparse.repack (
            family bigint primary key references sparse.family on delete cascade,
            max_depth integer not null,
            groups bigint not null,
            after bigint not null
        );
        comment on table sparse.repack is 'how far sparse_repack() has come with a family';
        comment on column sparse.repack.max_depth is 'the depth that it was repacked for';
        comment on column sparse.repack.groups is 'how many groups of objects, in their order, it has gone through since it last began';
        comment on column sparse.repack.after is 'the object up to which it has gone through the next one';

        create table sparse.repacked (
            version bigint primary key references sparse.version on delete cascade,
            done boolean not null
        );
        comment on table sparse.repacked is 'the versions that sparse_repack() has considered, or is about to; one that is not here is new to it';
        comment on column sparse.repacked.done is 'false: the run that considers it has not come to its end';
    end if;
end
$function$;
comment on function sparse_create_care() is
'Makes those tables of a store, where they are missing, by which sparse_nightly() goes, and in which sparse_repack() notes how far it has come. Called by sparse_create_store() and sparse_update_store().';
