/*
 * sdelta.sql: the type "sdelta": one chunk of content, coded against a prediction.
 *
 * Text form: the base64 of the delta's bytes, without line breaks. Binary form:
 * those bytes. docs/format.md says what they mean.
 */

-- Schema "sparse" is the store's: it outlives the extension, and is owned by another role (docs/design.md).
do $$
begin
    if current_schema() = 'sparse' then
        raise exception 'the extension cannot be in schema "sparse"'
            using errcode = 'invalid_schema_name',
                  hint = 'That schema is made by sparse_create_store(), for the store. Drop it, and give the extension another one, or none: "create extension sparse".';
    end if;
end $$;

create type sdelta;

create function sdelta_in(cstring)
returns sdelta
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_in';
comment on function sdelta_in(cstring) is 'Reads a delta from base64, and refuses what is none.';

create function sdelta_out(sdelta)
returns cstring
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_out';
comment on function sdelta_out(sdelta) is 'Writes a delta as base64.';

create function sdelta_recv(internal)
returns sdelta
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_recv';
comment on function sdelta_recv(internal) is 'Reads a delta''s bytes, and refuses what is none.';

create function sdelta_send(sdelta)
returns bytea
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_send';
comment on function sdelta_send(sdelta) is 'A delta''s bytes.';

create type sdelta (
    input = sdelta_in,
    output = sdelta_out,
    receive = sdelta_recv,
    send = sdelta_send,
    internallength = variable,
    alignment = int4,
    storage = external
);
comment on type sdelta is 'one chunk of content, coded against a prediction of it';

create function sdelta_from_bytea(bytea)
returns sdelta
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_from_bytea';
comment on function sdelta_from_bytea(bytea) is 'Takes bytes for a delta, and refuses what is none.';

-- so the functions and operators of deltas take those of sparse.chunk, which are kept as bytea
create cast (bytea as sdelta) with function sdelta_from_bytea(bytea) as implicit;
create cast (sdelta as bytea) with function sdelta_send(sdelta) as assignment;

create function sdelta_encode(content bytea, predictions bytea[] default '{}', dtype text default 'BYTES')
returns sdelta
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_encode';
comment on function sdelta_encode(bytea, bytea[], text) is
'Codes content against predictions: element by element against each that is as long as the content, the cheapest wins; if none is, against all of them joined, as a dictionary.';

create function sdelta_apply(predictions bytea[], delta sdelta)
returns bytea
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_apply';
comment on function sdelta_apply(bytea[], sdelta) is
'The content of a delta, given the predictions that it was made against; never other bytes.';

create function sdelta_apply_one(prediction bytea, delta sdelta)
returns bytea
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_apply_one';
comment on function sdelta_apply_one(bytea, sdelta) is
'The content of a delta that was made against one prediction: prediction + delta.';

create operator + (
    leftarg = bytea,
    rightarg = sdelta,
    function = sdelta_apply_one
);
comment on operator + (bytea, sdelta) is 'apply a delta to its prediction';

create function sdelta_info(
    delta sdelta,
    out version integer,
    out predictor text,
    out coding text,
    out dtype text,
    out content_bytes bigint,
    out delta_bytes bigint,
    out content_xxh3 text,
    out prediction_xxh3 text,
    out prediction_bytes bigint,
    out refs jsonb,
    out piece bigint,
    out whole text
)
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_info';
comment on function sdelta_info(sdelta) is
'What a delta says of itself; reads its header only.';

create function sdelta_content_bytes(delta sdelta)
returns bigint
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_content_bytes';
comment on function sdelta_content_bytes(sdelta) is
'Length of a delta''s content; reads its header only.';

create function sdelta_bytes(delta sdelta)
returns bigint
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_bytes';
comment on function sdelta_bytes(sdelta) is
'Length of a delta itself, without reading it.';

create function sparse_format()
returns integer
language c
immutable strict parallel safe
as 'MODULE_PATHNAME', 'sdelta_format';
comment on function sparse_format() is
'The version of the format in which this server writes deltas.';
