# What the container's init script makes of a fresh cluster: a store whose owner nobody can
# be, a reader who reads, a writer who writes; names and passwords are data, whatever they say.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('container');
$node->init;
$node->start;
my $secret = PostgreSQL::Test::Utils::tempdir() . '/secret';
append_to_file($secret, q{it's "secret"; drop table x});

sub initialised
{
	my ($database, %variables) = @_;
	$node->safe_psql('postgres', "create database $database");
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, POSTGRES_DB => $database, POSTGRES_USER => $node->safe_psql('postgres', 'select current_user'), %variables);
	my ($out, $err) = run_command([ 'sh', 'docker/init.sh' ]);
	is($err, '', "$database is initialised without complaint");
}

# What a statement of somebody says: its result, or its error.
sub said
{
	my ($database, $role, $sql) = @_;
	my ($out, $err) = ('', '');
	$node->psql($database, $sql, stdout => \$out, stderr => \$err, extra_params => [ '-U', $role ], on_error_stop => 1);
	return $err =~ /ERROR:\s+(.*)/ ? $1 : $out;
}

initialised('plain', SPARSE_READER_PASSWORD => 'r', SPARSE_WRITER_PASSWORD_FILE => $secret);
is($node->safe_psql('plain', q{select string_agg(concat_ws(' ', rolname, rolsuper, rolcanlogin, rolcreaterole, rolbypassrls), ', ' order by rolname) from pg_roles where rolname like 'sparse%'}),
	'sparse_owner f f f f, sparse_reader f t f f, sparse_writer f t f f', 'the owner cannot log in, and nobody is more than he needs to be');
is($node->safe_psql('plain', q{select string_agg(distinct relowner::regrole::text, ',') from pg_class where relnamespace = 'sparse'::regnamespace}), 'sparse_owner', 'all of the store is his');
is($node->safe_psql('plain', q{select has_database_privilege('sparse_owner', 'plain', 'create')}), 'f', 'and nothing else');
my $model = q{substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad('{"t":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}', 128), 'UTF8') || '\x010203'};
like(said('plain', 'sparse_writer', "select sparse_import_bytes('m', $model)"), qr/^\d+$/, 'the writer writes');
is(said('plain', 'sparse_reader', q{select right(encode(string_agg(p, ''), 'hex'), 6) from sparse_reconstruct('m') p}), '010203', 'the reader reads');
like(said('plain', 'sparse_reader', "select sparse_import_bytes('n', $model)"), qr/permission denied/, 'and does not write');
like(said('plain', 'sparse_writer', 'select count(*) from sparse.chunk'), qr/permission denied/, 'nobody reads chunks');

initialised('odd', SPARSE_OWNER => q{o'wn"er}, SPARSE_READER => 'Re ader', SPARSE_WRITER => '$w;', SPARSE_READER_PASSWORD => q{'; drop role sparse_owner; --});
like(said('odd', '$w;', "select 1"), qr/not permitted to log in|^$/, 'a role without a password cannot log in');
is($node->safe_psql('odd', q{select string_agg(distinct pg_get_userbyid(relowner), ',') from pg_class where relnamespace = 'sparse'::regnamespace}), q{o'wn"er}, 'names are data');

$node->stop;
done_testing();
