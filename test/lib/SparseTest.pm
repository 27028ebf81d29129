# What the TAP tests share: a server with an empty store in it, the data files, and
# the SHA-256 of a file and of a version, which are the whole promise.
package SparseTest;

use strict;
use warnings;

use Digest::SHA;
use Exporter 'import';
use PostgreSQL::Test::Cluster;

our @EXPORT = qw(sparse_node data_file import_file sha256_of_file sha256_of_version);

# A running server with the extension and an empty store in database postgres, which belongs
# to a role of its own as the manual has it.
# Takes a name, then settings as for PostgreSQL::Test::Cluster->init.
sub sparse_node
{
	my ($name, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%init);
	$node->start;
	$node->safe_psql('postgres',
		'create extension sparse; create role sparse_owner nologin; grant create on database postgres to sparse_owner;
		 set role sparse_owner; select sparse_create_store()');
	return $node;
}

# The absolute path of a data file, given its name without .safetensors.
sub data_file
{
	my ($name) = @_;
	return "$ENV{SPARSE_TEST_DATA}/$name.safetensors";
}

# Import a data file under a name, with parents if any are named; returns the id.
sub import_file
{
	my ($node, $version, $file, @parents) = @_;
	my $parents = join ',', map { "'$_'" } @parents;
	return $node->safe_psql('postgres',
		    "select sparse_import_file('$version', '"
		  . data_file($file)
		  . "', parents => array[$parents]::text[])");
}

sub sha256_of_file
{
	my ($path) = @_;
	return Digest::SHA->new(256)->addfile($path, 'b')->hexdigest;
}

# Of what sparse_reconstruct gives, computed by the server.
sub sha256_of_version
{
	my ($node, $version, $database) = @_;
	return $node->safe_psql(
		$database // 'postgres',
		"select encode(sha256(string_agg(piece, '' order by n)), 'hex')
		 from sparse_reconstruct('$version') with ordinality as pieces (piece, n)");
}

1;
