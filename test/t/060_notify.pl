# Who listens on channel "sparse" is told of versions that are ready, tagged, untagged,
# dropped and undropped, at commit, by their ids and nothing else.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = sparse_node('notify');
$node->safe_psql('postgres', q{
	create role stranger login;
	create function model(content text) returns bytea language sql as $$
		select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
			json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
			|| convert_to(content, 'UTF8') $$;
});

# What somebody who may see nothing hears while the statements run, in order.
sub heard
{
	my (@statements) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $listener = IPC::Run::start(
		[ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-U', 'stranger', '-d', 'postgres' ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	$in .= "listen sparse;\nselect 'listening';\n";
	$listener->pump until $out =~ /listening/;
	$node->safe_psql('postgres', $_) for @statements;
	$in .= "select 'done';\n";
	$listener->pump until $out =~ /done/;
	$in .= "\\q\n";
	$listener->finish;
	is($err, '', 'nothing else is said');
	return $out =~ /with payload "(.*)" received/g;
}

my @messages = heard(
	"select sparse_import_bytes('secret/m', model('a'))",
	"select sparse_import_bytes('secret/m', model('b'))",
	"select sparse_import_bytes('secret/m', model('b'))",
	"select sparse_tag('secret/m\@1', 'hidden')",
	"select sparse_tag('secret/m\@2', 'hidden')",
	"select sparse_tag('secret/m\@2', 'hidden')",
	"select sparse_untag('secret/m', 'hidden')",
	"select sparse_drop('secret/m\@1')",
	"select sparse_undrop('secret/m\@1')",
	"select sparse_rename('secret/m', 'secret/n')",
	"begin; select sparse_import_bytes('secret/x', model('x')); rollback",
	"set sparse.notify = off; select sparse_drop('secret/n\@1')");

is_deeply(
	[ map { decode_json($_) } @messages ],
	[
		{ event => 'ready', version => 1 },
		{ event => 'ready', version => 2 },
		{ event => 'tag', version => 1 },
		{ event => 'tag', version => 2, before => 1 },
		{ event => 'untag', version => 2 },
		{ event => 'drop', version => 1 },
		{ event => 'ready', version => 1 } ],
	'a message for each change that was committed, with ids alone') or diag(join "\n", @messages);

# Prepared transactions: what has notified cannot be prepared, what is silent can.
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->restart;
my (undef, undef, $refused) = $node->psql('postgres', "begin; select sparse_import_bytes('p', model('p')); prepare transaction 'p'");
like($refused, qr/cannot PREPARE/, 'a transaction that has notified cannot be prepared');
$node->safe_psql('postgres', "set sparse.notify = off; begin; select sparse_import_bytes('p', model('p')); prepare transaction 'p'");
$node->safe_psql('postgres', "commit prepared 'p'");
is($node->safe_psql('postgres', "select convert_from(sparse_tensor('p', 't'), 'UTF8')"), 'p', 'a silent one can');

$node->stop;
done_testing();
