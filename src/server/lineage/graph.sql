/*
 * graph.sql: drawings of the lineage of a version.
 */

create function sparse_graph(version bigint, format text default 'tree', most integer default 500)
returns text
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_graph';
comment on function sparse_graph(bigint, text, integer) is
'A version with its ancestors and descendants, nearest first up to as many as given, drawn as tree, dot, mermaid or svg.';

create function sparse_graph(version text, format text default 'tree', most integer default 500)
returns text
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_graph';
comment on function sparse_graph(text, text, integer) is
'A version with its ancestors and descendants, nearest first up to as many as given, drawn as tree, dot, mermaid or svg.';
