#!/bin/sh
# Runs once, when the container's cluster is made: the extension, a store whose owner is a
# role that nobody can be, and roles for those who read and write.
#
#   POSTGRES_USER, POSTGRES_DB     of the image: the superuser, and where the store is made
#   SPARSE_OWNER                   owns the store, and cannot log in; sparse_owner
#   SPARSE_READER, SPARSE_WRITER   log in with SPARSE_READER_PASSWORD, SPARSE_WRITER_PASSWORD
#                                  (or ..._PASSWORD_FILE); sparse_reader, sparse_writer.
#                                  A role without a password is made, and cannot log in
set -e

# The value of the variable, or what is in the file that VARIABLE_FILE names.
secret() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then cat "$file"; else printf %s "$value"; fi
}

# Values go in as psql's variables, quoted there, never pasted into a statement.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" \
    --set=owner="${SPARSE_OWNER:-sparse_owner}" \
    --set=reader="${SPARSE_READER:-sparse_reader}" --set=reader_password="$(secret SPARSE_READER_PASSWORD)" \
    --set=writer="${SPARSE_WRITER:-sparse_writer}" --set=writer_password="$(secret SPARSE_WRITER_PASSWORD)" <<'END'
select current_database() as database \gset
create role :"owner" nologin;
create role :"reader" nologin;
create role :"writer" nologin in role :"reader";
select :'reader_password' <> '' as reader_has, :'writer_password' <> '' as writer_has \gset
\if :reader_has
alter role :"reader" login password :'reader_password';
\endif
\if :writer_has
alter role :"writer" login password :'writer_password';
\endif

create extension if not exists sparse;
grant create on database :"database" to :"owner";
set role :"owner";
select sparse_create_store() \g /dev/null
grant usage on schema sparse to :"reader";
grant select on sparse.version, sparse.file, sparse.tensor, sparse.approximation, sparse.split, sparse.column,
    sparse.parent, sparse.tag, sparse.tag_history, sparse.savings to :"reader";
grant insert, update on sparse.version to :"writer";
reset role;
revoke create on database :"database" from :"owner";
END
