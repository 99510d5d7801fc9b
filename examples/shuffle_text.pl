#!/usr/bin/perl
# Shuffles a text on standard input in pieces of whole paragraphs of at least SIZE bytes (default 2000), seeded: afterwards
# its first so many bytes, and its last, are fair samples of the whole. Needs perl-base only.
#   shuffle_text.pl [SIZE [SEED]] <text.txt >shuffled.txt
use strict;
use warnings;
my $size = shift // 2000;
my $seed = shift // 1;
my @pieces = ('');
local $/ = '';    # paragraph by paragraph
while (<STDIN>) {
    push @pieces, '' if length $pieces[-1] >= $size;
    $pieces[-1] .= $_;
}
$pieces[-1] =~ s/\n*\z/\n\n/;
srand $seed;      # perl's rand is the same drand48 on every machine since 5.20
for (my $i = @pieces - 1; $i > 0; $i--) {
    my $j = int rand($i + 1);
    @pieces[$i, $j] = @pieces[$j, $i];
}
print @pieces;
