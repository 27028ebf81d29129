/*
 * tag.sql: tags, names that move from one version to another: 'org/name@production'.
 *
 * Who may update the row of a version may tag it; a tag is taken from a version by
 * who may update that one too. Every move is kept in sparse.tag_history.
 */

create function sparse_tag(version bigint, tag text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_tag';
comment on function sparse_tag(bigint, text) is
'Gives a tag to a ready version, taking it from the version of the same name that bore it, whose id is returned (null: none did).';

create function sparse_tag(version text, tag text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_tag';
comment on function sparse_tag(text, text) is
'Gives a tag to a ready version, taking it from the version of the same name that bore it, whose id is returned (null: none did).';

create function sparse_untag(name text, tag text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_untag';
comment on function sparse_untag(text, text) is
'Takes a tag away from the version of that name which bears it; returns the id of that version.';

create function sparse_resolve(version text)
returns bigint
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_resolve';
comment on function sparse_resolve(text) is
'The id of the ready version that a text names: an id in digits, a name (its newest ready revision), name@revision or name@tag.';
