/*
 * tally.sql: the counters by predictor of many versions, added up (tally.c).
 */

create function sparse_tally_step(tallies internal, by_predictor jsonb)
returns internal
language c
immutable
parallel safe
as 'MODULE_PATHNAME', 'savings_tally_step';
comment on function sparse_tally_step(internal, jsonb) is 'Part of sparse_tally_sum().';

create function sparse_tally_combine(tallies internal, others internal)
returns internal
language c
immutable
parallel safe
as 'MODULE_PATHNAME', 'savings_tally_combine';
comment on function sparse_tally_combine(internal, internal) is 'Part of sparse_tally_sum().';

create function sparse_tally_serial(tallies internal)
returns bytea
language c
immutable strict
parallel safe
as 'MODULE_PATHNAME', 'savings_tally_serial';
comment on function sparse_tally_serial(internal) is 'Part of sparse_tally_sum().';

create function sparse_tally_deserial(tallies bytea, unused internal)
returns internal
language c
immutable strict
parallel safe
as 'MODULE_PATHNAME', 'savings_tally_deserial';
comment on function sparse_tally_deserial(bytea, internal) is 'Part of sparse_tally_sum().';

create function sparse_tally_final(tallies internal)
returns jsonb
language c
immutable
parallel safe
as 'MODULE_PATHNAME', 'savings_tally_final';
comment on function sparse_tally_final(internal) is 'Part of sparse_tally_sum().';

create aggregate sparse_tally_sum(by_predictor jsonb) (
    sfunc = sparse_tally_step,
    stype = internal,
    combinefunc = sparse_tally_combine,
    serialfunc = sparse_tally_serial,
    deserialfunc = sparse_tally_deserial,
    finalfunc = sparse_tally_final,
    parallel = safe
);
comment on aggregate sparse_tally_sum(jsonb) is
'Counters as in sparse.version.by_predictor of many versions, added up by predictor.';
