# Connections as users of psql expect them: options, connection strings, environment,
# service files and .pgpass; the extension in whatever schema; a server that does not
# fit says so; what the caller may not, he may not here.
use strict;
use warnings;

use ClientTest;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('connections'));
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($host, $port) = ($node->host, $node->port);
my ($no_server, $refused, $other_format) = (5, 6, 7);

client_works('the environment is enough', 'push', data_file('mini-base'), 'base', '-q');

delete @ENV{qw(PGHOST PGPORT PGDATABASE)};
my $user = psql_one('select current_user');
for my $case (
	[ 'options', '-h', $host, '-p', $port, '-d', 'postgres', '-U', $user ],
	[ 'long options', "--host=$host", "--port=$port", '--dbname=postgres', "--username=$user", '--no-password' ],
	[ 'a connection string', '-d', "host=$host port=$port dbname=postgres" ],
	[ 'a URI', '-d', 'postgresql:///postgres?host=' . ($host =~ s{/}{%2F}gr) . "&port=$port" ])
{
	my ($name, @arguments) = @$case;
	client_works("$name reach the server", 'log', @arguments);
}

write_whole("$folder/services", "[here]\nhost=$host\nport=$port\ndbname=postgres\n");
{
	local $ENV{PGSERVICEFILE} = "$folder/services";
	client_works('a service reaches the server', 'log', '-d', 'service=here');
	local $ENV{PGSERVICE} = 'here';
	client_works('... from the environment too', 'log');
}

# ---- passwords ----

psql_one(q{create role reader login password 'secret';
	grant usage on schema sparse to reader;
	grant select on sparse.version, sparse.file, sparse.tensor, sparse.parent, sparse.savings to reader});
my $hba = read_whole($node->data_dir . '/pg_hba.conf');
write_whole($node->data_dir . '/pg_hba.conf', "local all reader scram-sha-256\n$hba");
$node->reload;
@ENV{qw(PGHOST PGPORT PGDATABASE)} = ($host, $port, 'postgres');
my @reader = ('-U', 'reader');
client_fails($no_server, 'password', 'without a password there is no connection', 'log', @reader, '-w');
write_whole("$folder/pgpass", "*:$port:*:reader:secret\n");
chmod 0600, "$folder/pgpass";
{
	local $ENV{PGPASSFILE} = "$folder/pgpass";
	client_works('.pgpass has the password', 'log', @reader);
	client_works('... for all connections', 'pull', 'base', @reader, '-q', '-j', 3, '-o', "$folder/out");
	is_file("$folder/out", data_file('mini-base'), '... of a pull');
}
{
	local $ENV{PGPASSWORD} = 'secret';
	client_works('PGPASSWORD too', 'log', @reader);
	client_fails($refused, 'permission denied', 'who may only read cannot push', 'push', data_file('mini-finetune'), 'x', @reader);
	client_fails($refused, '', '... nor drop', 'rm', 'base', @reader);
	psql_one(q{alter table sparse.version enable row level security});
	client_fails($refused, 'does not exist', 'what is hidden does not exist', 'pull', 'base', @reader, '-o', "$folder/hidden");
	psql_one(q{alter table sparse.version disable row level security});
	local $ENV{PGPASSWORD} = 'wrong';
	client_fails($no_server, 'password', 'a wrong password is told', 'log', @reader);
}

# ---- a hostile search path ----

psql_one(q{create schema trap;
	create function trap.set_config(text, text, boolean) returns text language plpgsql as 'begin raise exception ''trapped''; end';
	create function trap.sparse_files(bigint) returns text language plpgsql as 'begin raise exception ''trapped''; end';
	create function trap.encode(bytea, text) returns text language plpgsql as 'begin raise exception ''trapped''; end'});
{
	local $ENV{PGOPTIONS} = '-c search_path=trap,pg_catalog,public';
	client_works('nobody else\'s functions are called', 'pull', 'base', '-q', '-o', "$folder/trapped");
}

# ---- what is not there, or does not fit ----

client_fails($no_server, '', 'without a server there is an error', 'log', '-h', '/nonexistent');
client_fails($no_server, 'nowhere', 'without the database too', 'log', '-d', 'nowhere');
psql_one('create database empty');
client_fails($refused, 'no extension sparse', 'without the extension it says so', 'log', '-d', 'empty');
$node->safe_psql('empty', 'create schema "Other Schema"; create extension sparse schema "Other Schema"');
client_fails($refused, '', 'without a store it says so', 'push', data_file('mini-base'), 'base', '-d', 'empty');
$node->safe_psql('empty', 'select "Other Schema".sparse_create_store()');
client_works('the extension may be in any schema', 'push', data_file('mini-base'), 'base', '-q', '-d', 'empty');
client_works('... to pull as well', 'pull', 'base', '-q', '-d', 'empty', '-o', "$folder/other");
is_file("$folder/other", data_file('mini-base'), '... the file');
psql_one(q{create or replace function sparse_format() returns integer language sql as 'select 99'});
client_fails($other_format, 'format 99', 'a server of another format is told', 'pull', 'base', '-o', "$folder/x");
psql_one(q{alter extension sparse drop function sparse_format(); drop function sparse_format()});
client_fails($other_format, 'too old', 'a server that is too old as well', 'log');

$node->stop;
done_testing();
