# Sourced by ./quickstart and examples/*.sh after setup.sh: what experiments share. Functions only; nothing runs when it is read.

# begin OUTDIR: builds, unless MUSCALE_BIN names a program; sets $m (muscale), $out (OUTDIR, absolute), $threads and $started.
# $top is the source.
begin() {
    export LC_ALL=C.UTF-8
    threads=${THREADS:-2}
    if [ -n "${MUSCALE_BIN:-}" ]; then
        need_packages figures script
        case $MUSCALE_BIN in /*) m=$MUSCALE_BIN ;; *) m=$PWD/$MUSCALE_BIN ;; esac
    else
        need_packages build library figures script
        build_in "$top/build"
        m=$top/build/muscale
    fi
    mkdir -p "$1"
    out=$(cd "$1" && pwd)
    started=$(date +%s)
}

step() { printf '\n[%3d s] %s\n' $(($(date +%s) - started)) "$*"; }

# text_from_package: $out/text.txt, English prose from a Debian documentation package, markup stripped.
text_from_package() {
    html=/usr/share/doc/anarchism/html
    if [ ! -d "$html" ]; then # unpacked beside the results: needs no root, and minimal images drop installed documents
        (cd "$out" && { apt-get -qq download anarchism 2>/dev/null || { package_lists && apt-get -qq download anarchism; }; } &&
            dpkg-deb -x anarchism_*.deb package) || die "cannot fetch the Debian package 'anarchism' (the text); install it by hand: apt-get install anarchism"
        html=$out/package/usr/share/doc/anarchism/html
    fi
    for f in "$html"/*.html; do perl "$top/examples/quickstart/strip_html.pl" <"$f"; done >"$out/text.txt"
    size=$(wc -c <"$out/text.txt")
    [ "$size" -ge 10000000 ] || die "$out/text.txt has only $size bytes; at least 10 MB of prose are expected"
}
# shuffled_corpus: that text in ./corpus, paragraphs shuffled, so that any part of it is a fair sample; made once.
shuffled_corpus() {
    if [ ! -f corpus/meta.json ]; then
        text_from_package
        perl "$top/examples/shuffle_text.pl" <text.txt >shuffled.txt
        "$m" -q data pack -o corpus --val-fraction 0.05 shuffled.txt
    fi
    "$m" data info corpus
}
package_lists() { if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi; }

# verdict COMMAND...: runs it; exit 5 is a verdict (`refuse`), hence a result: shown, and what follows is then forced by $refused.
refused=
verdict() {
    rc=0
    "$@" || rc=$?
    case $rc in 0) ;; 5) refused=--force ;; *) exit $rc ;; esac
}
