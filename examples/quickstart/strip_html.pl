#!/usr/bin/perl
# Plain text from HTML on standard input: scripts, styles, comments and tags out, entities decoded, blank runs folded.
# Paragraphs and line breaks stay. Needs perl-base only.
use strict;
use warnings;
my %named = (amp => '&', lt => '<', gt => '>', quot => '"', apos => "'", nbsp => ' ', mdash => "\xe2\x80\x94", ndash => "\xe2\x80\x93",
             lsquo => "'", rsquo => "'", ldquo => '"', rdquo => '"', hellip => '...', copy => '(c)', eacute => "\xc3\xa9");
local $/;
for (<STDIN>) {
    s/<!--.*?-->//gs;
    s/<(script|style|head)\b.*?<\/\1\s*>//gis;
    s/[ \t\r\n]+/ /g;
    s/<br\b[^>]*>/\n/gi;
    s/<\/?(p|div|h[1-6]|li|ul|ol|tr|table|blockquote|pre|hr)\b[^>]*>/\n\n/gi;
    s/<[^>]*>//g;
    s/&#(\d+);/my $c = chr($1); utf8::encode($c); $c/ge;
    s/&#x([0-9a-f]+);/my $c = chr(hex $1); utf8::encode($c); $c/gie;
    s/&(\w+);/exists $named{$1} ? $named{$1} : ' '/ge;
    s/[ \t]+/ /g;
    s/ ?\n ?/\n/g;
    s/\n{3,}/\n\n/g;
    s/^\s+//;
    print "$_\n";
}
