# What holds for the sources as such: each file says what it is for, each layer
# knows only those above it, and one version is named everywhere. Needs no server.
use strict;
use warnings;

use File::Find;
use Test::More;

my @layers = qw(codec fit plan recipes sdelta store model wire dataset lineage savings care routing hub);
my %rank = map { $layers[$_] => $_ } 0 .. $#layers;

sub read_whole
{
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# Of a file in C, without its comments.
sub uncommented
{
	my $text = read_whole(@_);
	$text =~ s{/\*.*?\*/}{}sg;
	return $text;
}

# Paths below the directories given whose names match.
sub files_matching
{
	my ($pattern, @directories) = @_;
	my @found;
	find(
		{
			no_chdir => 1,
			follow => 1,
			wanted => sub { push @found, $_ if -f && /$pattern/ }
		},
		@directories);
	return sort @found;
}

# "-" and the items, one a line: nothing is wrong when there are none.
sub is_nothing
{
	my ($name, @wrong) = @_;
	ok(!@wrong, $name) or diag(map { "  $_\n" } @wrong);
}

# The layer of a file: the folder it lies in, below src/core or src/server, or the client; undef for what joins them.
sub layer_of_file
{
	my ($path) = @_;
	return undef if $path =~ m{^src/server/\w+\.\w+$};
	return $path =~ m{^src/(?:core/|server/)?(\w+)/} ? $1 : undef;
}

# The layer a header belongs to, by its #include path; undef for those of no layer.
sub layer_of_header
{
	my ($including, $header) = @_;
	return $1 if $header =~ m{^(\w+)/};
	my ($folder) = $including =~ m{^(.*)/};
	return -e "$folder/$header" ? layer_of_file($including) : undef;
}

my @c_files = files_matching(qr/\.[ch]$/, 'src');
my @layer_violations;
my @server_outside;
for my $path (@c_files)
{
	my $layer = layer_of_file($path) // next;
	my $text = read_whole($path);
	while ($text =~ /^\s*#\s*include\s+["<]([^">]+)[">]/mg)
	{
		my $header = $1;
		my $used = layer_of_header($path, $header);
		push @server_outside, "$path includes $header"
		  if $path =~ m{^src/(?:core|client)/}
		  && $header =~ m{^(postgres|fmgr|utils/|catalog/|executor/|access/|storage/|funcapi|miscadmin|nodes/)};
		next unless defined $used && exists $rank{$used};
		my $allowed = $layer eq 'client' ? -d "src/core/$used" : $rank{$used} <= ($rank{$layer} // -1);
		push @layer_violations, "$path includes $header" unless $allowed;
	}
}
is_nothing('a layer includes only its own headers and those of layers above it', @layer_violations);
is_nothing('core and client include nothing of the server', @server_outside);

# In SQL, too, that of C's strings among it: the tables and functions of a layer are known to those below it alone.
my $made = qr/create\s+(?:or\s+replace\s+)?(?:function|procedure|table|view)\s+(?:if\s+not\s+exists\s+)?
	(sparse\.\w+|sparse_\w+)/x;
my @sql_files = files_matching(qr/\.sql$/, 'src/server');
my %made_by;
for my $path (@sql_files)
{
	my $text = read_whole($path);
	$made_by{$1}{ layer_of_file($path) } = 1 while $text =~ /$made/g;
}

# What sparse_create_store() and sparse_update_store() call of each layer.
my $calls_all = qr/^sparse_(?:create|attach)_\w+$/;
my @sql_violations;
for my $path (@sql_files, grep { m{^src/server/} } @c_files)
{
	my $layer = layer_of_file($path) // next;
	my $text = $path =~ /\.sql$/ ? read_whole($path) =~ s{/\*.*?\*/}{}sgr : uncommented($path);
	$text =~ s/--.*//g if $path =~ /\.sql$/;
	$text =~ s/comment on .*?;\n//sg if $path =~ /\.sql$/;
	while ($text =~ /(?:\@extschema\@\.|(?<![\w.]))(sparse\.\w+|sparse_\w+(?=\())/g)
	{
		my $name = $1;
		next if $path =~ /\.[ch]$/ && $name =~ /^sparse_/;    # a hint may name what a user is to call
		my $makers = $made_by{$name} or next;
		next if $name =~ $calls_all || grep { $rank{$_} <= $rank{$layer} } keys %$makers;
		push @sql_violations, "$path knows $name of " . join ' and ', sort keys %$makers;
	}
}
is_nothing('SQL of a layer knows only its own tables and functions and those of layers above it', @sql_violations);

# Written for the newest server; what others lack is emulated in one place.
is_nothing('only compat.h asks which server it is built for',
	map { read_whole($_) =~ /\bPG_VERSION_NUM\b/ ? $_ : () } grep { !m{/compat\.h$} } @c_files);
is_nothing('no function in SQL asks which server it runs on',
	map { read_whole($_) =~ /server_version/ ? $_ : () } files_matching(qr/\.sql$/, 'src'));

# What is changed for a while is given back on every way out, since one file does it (store/guard.h).
my $guarded = qr/\b(?:BeginInternalSubTransaction|RollbackAndReleaseCurrentSubTransaction|SetUserIdAndSecContext
	|NewGUCNestLevel|AtEOXact_GUC|set_config_option(?:_ext)?|SetConfigOption|XactReadOnly|PG_TRY|PG_ENSURE_ERROR_CLEANUP
	|umask)\b/x;
my @server_files = grep { m{^src/server/} } @c_files;
my @unguarded;
for my $path (grep { !m{/guard\.[ch]$} } @server_files)
{
	my $text = uncommented($path);
	push @unguarded, "$path: $1" while $text =~ /($guarded)\s*[(=;]/g;
}
is_nothing('only guard.c changes the user, settings and subtransactions, and catches errors', @unguarded);

# Each pair in one function, the other half after it, and no way out between.
my %leave = (
	store_enter => 'store_leave',
	store_enter_to_update => 'store_leave',
	enter_versions => 'store_leave',
	user_enter => 'user_leave',
	settings_enter => 'settings_leave',
	closed_path_enter => 'closed_path_leave',
	read_only_enter => 'read_only_leave');
my %is_wrapper = map { $_ => 1 } %leave, qw(care_step_begin care_step_end is_readable read_as_caller);
my $half = join '|', sort { length $b <=> length $a } keys %{ { map { $_ => 1 } %leave } };
my @unpaired;
for my $path (grep { m{\.c$} && !m{/guard\.c$} } @server_files)
{
	my $text = uncommented($path);
	while ($text =~ /^(\w+)\([^;{]*\)\n\{\n(.*?)^\}/msg)
	{
		my ($function, $body) = ($1, $2);
		next if $is_wrapper{$function};
		my @open;
		while ($body =~ /\b($half|return|goto)\b/g)
		{
			my $word = $1;
			if (exists $leave{$word}) { push @open, $leave{$word}; }
			elsif (grep { $word eq $_ } values %leave)
			{
				push @unpaired, "$path: $function: $word" unless (pop(@open) // '') eq $word;
			}
			elsif (@open) { push @unpaired, "$path: $function: $word"; }
		}
		push @unpaired, "$path: $function: no $_" for @open;
	}
}
is_nothing('whoever becomes another user, or sets something, takes it back before he returns', @unpaired);

my @silent = grep { read_whole($_) !~ m{^(?:#!.*\n)?(?:/\*|//|#|--)} }
  (@c_files, files_matching(qr/\.(sql|sh|pl|pm|mk|c|spec)$/, 'src', 'test'));
is_nothing('every source file opens with a comment', @silent);

# the server reads them in the encoding of the database that the extension is created in
my @not_ascii = grep { read_whole($_) =~ /[^\x00-\x7f]/ } files_matching(qr/\.sql$/, 'src');
is_nothing('the SQL of the extension is ASCII', @not_ascii);

my ($version) = read_whole('sparse.control') =~ /^default_version = '([^']+)'/m;
my @disagree = grep { read_whole($_) !~ /\Q$version\E/ } qw(META.json CHANGELOG.md);
is_nothing("META.json and CHANGELOG.md name version $version of sparse.control", @disagree);

done_testing();
