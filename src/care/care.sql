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
