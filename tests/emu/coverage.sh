#!/bin/sh
# Every kernel of kernels/ was launched by the emulated tests: $EMU_TESTS, which ran with EMU_LOG set. A template counts once
# for each instance that the programs contain. Fails naming those that were not launched.
set -eu
src=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/coverage.pl" <<'END'
use strict;
use warnings;
my ($folder, $logs, $nm, @programs) = @ARGV;
my (%name, %has, %launched, @bad);

for my $file (glob("$folder/*.cu $folder/*.cuh")) { # the names that stand behind __global__
    open my $f, '<', $file or die "$file: $!\n";
    local $/;
    my $text = <$f>;
    $text =~ s{/\*.*?\*/}{ }gs;
    $text =~ s{//[^\n]*}{}g;
    my $declared = () = $text =~ /__global__/g;
    $text =~ s/__launch_bounds__\s*(\((?:[^()]|(?1))*\))/ /g;
    my @found = $text =~ /__global__\s+(?:\w+\s+)*?void\s+(\w+)\s*\(/g;
    push @bad, "$file: " . ($declared - @found) . " of $declared kernels not recognised" if @found < $declared;
    $name{$_} = $file for @found;
}

for my $program (@programs) { # their instances, by address, and what the log says of those
    my (%at, $start);
    open my $p, '-|', $nm, '-C', $program or die "$nm: $!\n";
    while (<$p>) {
        next unless /^([0-9a-f]+) (\w) (.*)$/;
        my ($address, $kind, $full) = (hex $1, $2, $3);
        $start = $address if $full eq '__executable_start';
        next if $kind !~ /[tTwWuV]/ || $full =~ /\[clone |::\{lambda/;
        $full =~ s/^void //;
        $full =~ s/^\(anonymous namespace\):://;
        my ($depth, $cut) = (0, 0); # a C function has no parameters here, and is no kernel
        for my $i (0 .. length($full) - 1) {
            my $c = substr $full, $i, 1;
            $depth++ if $c eq '<';
            $depth-- if $c eq '>';
            if ($c eq '(' && !$depth) { $cut = $i; last }
        }
        $full = substr $full, 0, $cut;
        my ($base) = $full =~ /^(\w+)(?:<.*>)?$/ or next;
        next unless $name{$base};
        $at{$address} = $full;
        $has{$base}{$full} = 1;
    }
    close $p or die "$nm $program failed\n";
    my $log = $logs . '/' . ($program =~ s{.*/}{}r) . '.' . (stat $program)[9];
    open my $l, '<', $log or next; # launched nothing
    while (<$l>) { chomp; $launched{$at{$start + hex}} = 1 if defined $start && $at{$start + hex} }
}

for my $n (sort keys %name) {
    push @bad, "$n ($name{$n}): in no test program" unless $has{$n};
    push @bad, map { "$_ ($name{$n})" } grep { !$launched{$_} } sort keys %{$has{$n} || {}};
}
push @bad, "no kernels in $folder" unless %name;
if (@bad) { print "kernels that no emulated test launched:\n", map { "  $_\n" } @bad; exit 1 }
print scalar(keys %name), " kernels, ", scalar(map { keys %$_ } values %has), " instances: all launched\n";
END

# The check must be able to fail: without programs nothing was launched; a kernel that is written oddly is not overlooked.
if perl "$work/coverage.pl" "$src/kernels" "$EMU_LOG" "${NM:-nm}" >"$work/none"; then echo "nothing was launched, and this script is content"; exit 1; fi
echo 'static __global__ int odd(int);' >"$work/odd.cu"
perl "$work/coverage.pl" "$work" "$EMU_LOG" "${NM:-nm}" | grep -q '1 of 1 kernels not recognised' || { echo "an odd kernel is overlooked"; exit 1; }

# shellcheck disable=SC2086 # a list of programs
perl "$work/coverage.pl" "$src/kernels" "$EMU_LOG" "${NM:-nm}" $EMU_TESTS
