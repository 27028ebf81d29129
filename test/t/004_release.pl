# What a release says of itself is said everywhere alike, and META.json keeps the rules of
# https://pgxn.org/spec/ (1.0.0), by which PGXN accepts a distribution. Needs no server.
use strict;
use warnings;

use Digest::SHA;
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

sub read_whole { my ($path) = @_; open my $file, '<', $path or die "$path: $!"; local $/; return scalar <$file> }

my ($version) = read_whole('sparse.control') =~ /^default_version = '(.*)'$/m;
my $meta = JSON::PP->new->decode(read_whole('META.json'));
my $semver = qr/^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
my $term = qr{^[^\s/\\\x00-\x1f\x7f]{2,}$};

like($version, $semver, 'the version is semantic');
is($meta->{version}, $version, 'META.json is of the version that the control file names');
is($meta->{provides}{sparse}{version}, $version, 'and so is what it provides');
my ($heading) = read_whole('CHANGELOG.md') =~ /^## \[?([0-9.]+)/m;
is($heading, $version, 'the changelog begins with it');
SKIP:
{
	skip 'no debian/ here', 1 unless -e 'debian/changelog';
	like(read_whole('debian/changelog'), qr/^pg-sparse \(\Q$version\E-\d+\)/, 'the packages are of it');
}

for my $field (qw(name version abstract maintainer license provides meta-spec))
{
	ok(defined $meta->{$field}, "META.json has the field $field");
}
like($meta->{name}, $term, 'the name is a term');
is($meta->{'meta-spec'}{version}, '1.0.0', 'the spec is named');
like($meta->{'meta-spec'}{url}, qr{^https?://pgxn\.org/meta/spec\.txt$}, 'by its address');
ok((grep { $_ eq $meta->{license} } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3
		lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown)),
	'the license is one that PGXN knows');
ok((grep { $_ eq $meta->{release_status} } qw(stable testing unstable)), 'the release status is one that PGXN knows');
my @maintainers = ref $meta->{maintainer} ? @{ $meta->{maintainer} } : $meta->{maintainer};
ok(@maintainers && !(grep { !/^\S.*\S <[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+>$/ } @maintainers), 'each maintainer is a name and an address');
while (my ($name, $provided) = each %{ $meta->{provides} })
{
	like($name, $term, "what is provided, $name, is a term");
	ok(-e $provided->{file}, "$provided->{file} is there");
	ok(!$provided->{docfile} || -e $provided->{docfile}, 'its documentation is there');
}
for my $phase (keys %{ $meta->{prereqs} })
{
	ok((grep { $_ eq $phase } qw(configure build test runtime develop)), "the phase $phase is known");
	for my $relation (keys %{ $meta->{prereqs}{$phase} })
	{
		ok((grep { $_ eq $relation } qw(requires recommends suggests conflicts)), "the relation $relation is known");
		my $needed = $meta->{prereqs}{$phase}{$relation};
		like($needed->{$_}, qr/^(?:(?:[<>]=?|[!=]=)?\s*\d+\.\d+\.\d+(?:,\s*)?)+$|^0$/, "the version of $_ is one or a range") for keys %$needed;
	}
}

# What `make dist` makes of a commit is told by that commit alone.
SKIP:
{
	skip 'no git here', 2 if system('git --version >/dev/null 2>&1') != 0;
	my $repository = tempdir(CLEANUP => 1);
	mkdir "$repository/test";
	copy('test/dist.sh', "$repository/test/dist.sh") or die "dist.sh: $!";
	my $git = "git -C '$repository' -c user.name=a -c user.email=a\@example.org";
	system("$git init -q && $git add . && $git commit -q -m a") == 0 or die 'no commit';
	my %made;
	for my $zone ('UTC', 'Asia/Tokyo')
	{
		my $out = tempdir(CLEANUP => 1);
		system("git -C '$repository' config tar.umask " . ($zone eq 'UTC' ? '0002' : '0077'));
		system("cd '$out' && TZ=$zone bash '$repository/test/dist.sh' 1") == 0 or die 'no archive';
		$made{ Digest::SHA->new(256)->addfile("$out/sparse-1.tar.gz")->hexdigest }{tar}++;
		$made{ Digest::SHA->new(256)->addfile("$out/sparse-1.zip")->hexdigest }{zip}++;
	}
	is_deeply([ sort map { $made{$_}{tar} // () } keys %made ], [2], 'the tarball is the same whoever makes it, and wherever');
	is_deeply([ sort map { $made{$_}{zip} // () } keys %made ], [2], 'and so is the zip');
}

ok(!(grep { !length || length > 256 || m{[/\\\x00-\x1f]} } @{ $meta->{tags} }), 'tags are terms');
done_testing();
