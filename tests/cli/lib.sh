# Shared by the command-line tests: one script per area, x.sh, each starting with
#   . "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
# and ending with `finish`. Every check says what it saw when it fails; the script goes on, and exits 1 at the end.
# The script runs in an empty scratch directory, removed at the end. $out, $err and $rc are those of the last `run`.
#
#   run ARGS...                 runs muscale
#   ok ARGS...                  ... and expects exit 0
#   bad CODE TEXT ARGS...       ... and expects that exit code, nothing on stdout, one error line with TEXT on stderr
#   has TEXT | err_has TEXT     stdout | stderr of the last run contains TEXT (fixed string)
#   hasnt TEXT                  stdout of the last run does not contain it
#   json FILTER WANT            jq FILTER on stdout prints WANT (skipped without jq)
#   same A B [WHAT]             two strings are equal
#   t NAME                      names what follows, for the messages
#   skip WHY                    ends the whole script as skipped (77)

LC_ALL=C.UTF-8; export LC_ALL
muscale=${MUSCALE_BIN:?set MUSCALE_BIN to the muscale program}
case $muscale in /*) ;; *) muscale=$PWD/$muscale ;; esac
src=${MUSCALE_SRCDIR:-.}
src=$(cd "$src" && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/muscale-cli.XXXXXX") || exit 99
trap 'chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 99' HUP INT TERM
cd "$scratch" || exit 99
# Captured output lives outside the working directory, so that a test may list it.
mkdir "$scratch/.io"
failures=0 checks=0 name=
out= err= rc=

t() { name=$1; }

fail() {
    failures=$((failures + 1))
    printf 'FAIL: %s: %s\n' "$name" "$1"
    printf '  command: muscale %s\n  exit %s\n' "$last" "$rc"
    printf '%s\n' "$out" | head -n 20 | sed 's/^/  stdout: /'
    printf '%s\n' "$err" | head -n 20 | sed 's/^/  stderr: /'
}

run() {
    last=$*
    rc=0
    "$muscale" "$@" >"$scratch/.io/out" 2>"$scratch/.io/err" </dev/null || rc=$?
    out=$(cat "$scratch/.io/out")
    err=$(cat "$scratch/.io/err")
}

# The same with standard input from a file.
run_from() {
    input=$1
    shift
    last="$* <$input"
    rc=0
    "$muscale" "$@" >"$scratch/.io/out" 2>"$scratch/.io/err" <"$input" || rc=$?
    out=$(cat "$scratch/.io/out")
    err=$(cat "$scratch/.io/err")
}

check() { checks=$((checks + 1)); } # counted, so that an empty script cannot pass
contains() { case $1 in *"$2"*) return 0 ;; *) return 1 ;; esac; }

rc_is() { check; [ "$rc" = "$1" ] || fail "exit code $rc, want $1"; }
has() { check; contains "$out" "$1" || fail "stdout lacks '$1'"; }
hasnt() { check; ! contains "$out" "$1" || fail "stdout has '$1'"; }
err_has() { check; contains "$err" "$1" || fail "stderr lacks '$1'"; }
same() { check; [ "$1" = "$2" ] || fail "${3:-strings} differ: '$1' and '$2'"; }
ok() { run "$@"; rc_is 0; }

one_error() {
    check
    n=$(printf '%s\n' "$err" | grep -c '^muscale: error: ')
    [ "$n" = 1 ] || fail "$n error lines on stderr, want 1"
    check
    [ -z "$out" ] || fail "stdout is not empty"
}

bad() {
    want=$1 text=$2
    shift 2
    run "$@"
    rc_is "$want"
    one_error
    err_has "$text"
}

json() {
    command -v jq >/dev/null || return 0
    check
    got=$(printf '%s' "$out" | jq -r "$1" 2>&1)
    [ "$got" = "$2" ] || fail "jq '$1' gives '$got', want '$2'"
}

skip() { echo "SKIP: $1"; exit 77; }

finish() {
    [ "$checks" -gt 0 ] || { echo "FAIL: no check was made"; exit 1; }
    [ "$failures" = 0 ] || { echo "$failures of $checks checks failed"; exit 1; }
    echo "$checks checks passed"
    exit 0
}
