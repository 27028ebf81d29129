/*
 * care.sql: what keeps a store small and quick: other parents for what is stored,
 * and the end of what is no longer wanted.
 *
 * Procedures commit after every step, so they fix no search path: they are written in
 * C, and each step fixes its own.
 */

create procedure sparse_materialize(
    version text,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null
)
language c
as 'MODULE_PATHNAME', 'care_materialize';
comment on procedure sparse_materialize(text, bigint, bigint, bigint) is
'Codes the objects of a version for themselves: it is then read without any parent. For the store''s owner.';

create procedure sparse_materialize(
    version bigint,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null
)
language c
as 'MODULE_PATHNAME', 'care_materialize';
comment on procedure sparse_materialize(bigint, bigint, bigint, bigint) is
'Codes the objects of a version for themselves: it is then read without any parent. For the store''s owner.';

create procedure sparse_rebase(
    version text,
    parent text,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null
)
language c
as 'MODULE_PATHNAME', 'care_rebase';
comment on procedure sparse_rebase(text, text, bigint, bigint, bigint) is
'Codes the objects of a version against those of another. For the store''s owner.';

create procedure sparse_rebase(
    version bigint,
    parent text,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null
)
language c
as 'MODULE_PATHNAME', 'care_rebase';
comment on procedure sparse_rebase(bigint, text, bigint, bigint, bigint) is
'Codes the objects of a version against those of another. For the store''s owner.';

create procedure sparse_optimize(
    version text,
    max_depth integer default null,
    budget interval default null,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null,
    inout finished boolean default null
)
language c
as 'MODULE_PATHNAME', 'care_optimize';
comment on procedure sparse_optimize(text, integer, interval, bigint, bigint, bigint, boolean) is
'Codes the objects of a version by the best that an import of its files would find: another parent, or a formula of several. For what was uploaded. Stops when a time is over. For the store''s owner.';

create procedure sparse_optimize(
    version bigint,
    max_depth integer default null,
    budget interval default null,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null,
    inout finished boolean default null
)
language c
as 'MODULE_PATHNAME', 'care_optimize';
comment on procedure sparse_optimize(bigint, integer, interval, bigint, bigint, bigint, boolean) is
'Codes the objects of a version by the best that an import of its files would find: another parent, or a formula of several. For what was uploaded. Stops when a time is over. For the store''s owner.';

create procedure sparse_move_family(
    family bigint,
    place text,
    budget interval default null,
    inout objects bigint default null,
    inout bytes bigint default null,
    inout objects_left bigint default null,
    inout finished boolean default null
)
language c
as 'MODULE_PATHNAME', 'care_move_family';
comment on procedure sparse_move_family(bigint, text, interval, bigint, bigint, bigint, boolean) is
'Brings the chunks of a family (null: of what belongs to none) to another place, in small transactions, while readers go on; what is stored for it later goes there, too. Called again it goes on. For the store''s owner.';

create function sparse_expire(
    keep_last integer default null,
    keep_tagged boolean default true,
    older_than interval default null,
    dry_run boolean default true,
    prefix text default ''
)
returns table (
    version bigint,
    name text,
    revision integer,
    created_at timestamptz,
    stored_bytes bigint,
    reason text
)
language c
volatile
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'care_expire';
comment on function sparse_expire(integer, boolean, interval, boolean, text) is
'Drops versions whose names begin with a prefix, except the newest revisions of each name, those that bear a tag and those that are younger; with dry_run only says which. As the caller.';

create procedure sparse_repack(
    family text default 'all',
    max_depth integer default null,
    budget interval default null,
    inout objects bigint default null,
    inout bytes_before bigint default null,
    inout bytes_after bigint default null,
    inout depth_before integer default null,
    inout depth_after integer default null,
    inout finished boolean default null
)
language c
as 'MODULE_PATHNAME', 'care_repack';
comment on procedure sparse_repack(text, integer, interval, bigint, bigint, bigint, integer, integer, boolean) is
'Chooses the parents of all objects of a family anew, so that they take the fewest bytes within a depth; of the family of a version, or of all that have changed. Stops when a time is over. For the store''s owner.';

create procedure sparse_nightly(
    budget interval default '1 hour',
    max_depth integer default null,
    open_older_than interval default '1 day',
    inout dropped bigint default null,
    inout collected bigint default null,
    inout freed_bytes bigint default null,
    inout families bigint default null,
    inout repacked bigint default null,
    inout saved_bytes bigint default null,
    inout finished boolean default null
)
language c
as 'MODULE_PATHNAME', 'care_nightly';
comment on procedure sparse_nightly(interval, integer, interval, bigint, bigint, bigint, bigint, bigint, bigint, boolean) is
'Drops what no rule of sparse.expiry keeps, collects what nothing needs, repacks the families that have changed, until the time is over, and notes the savings of the day. For the store''s owner.';

create function sparse_repack_preview(version text, max_depth integer default null)
returns table (
    method text,
    objects bigint,
    estimated_bytes bigint,
    deepest integer,
    mean_depth double precision
)
language c
volatile
parallel unsafe
rows 5
set search_path = pg_catalog, pg_temp
set row_security = off
as 'MODULE_PATHNAME', 'care_repack_preview';
comment on function sparse_repack_preview(text, integer) is
'What sparse_repack() expects to come to for the family of a version, beside what is there, every object alone, each from the cheapest that came before it, and the cheapest tree however deep. For the store''s owner.';
