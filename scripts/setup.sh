# Sourced by ./quickstart and ./runtests: installs what is missing, generates and runs configure, builds.
# Functions only; nothing runs when it is read. Can be run again and again: what is there is left alone.

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
JOBS=$(nproc 2>/dev/null || echo 2)

# need_packages ROLE...: installs the missing Debian packages of these roles of scripts/packages.
need_packages() {
    wanted=
    for role in "$@"; do
        wanted="$wanted $(sed -n "s/^$role[[:space:]]\{1,\}//p" "$top/scripts/packages")"
    done
    if ! command -v dpkg-query >/dev/null 2>&1; then
        say "This is not a Debian system: nothing is installed. Needed are the equivalents of:$wanted"
        return 0
    fi
    missing=
    for p in $wanted; do
        case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in
        *"install ok installed") ;;
        *) missing="$missing $p" ;;
        esac
    done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" = 0 ]; then as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root=sudo
    elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then as_root=sudo
    else
        say "These Debian packages are missing, and there is neither root nor sudo to install them:"
        say "   $missing"
        die "ask your administrator for: apt-get install --no-install-recommends$missing"
    fi
    say "installing:$missing"
    # An old package list is the usual reason for a failed install: try, then update and try again.
    # shellcheck disable=SC2086
    apt_install $missing || { $as_root apt-get -qq update && apt_install $missing; } ||
        die "apt-get could not install:$missing (its own messages stand above; is a package source reachable?)"
}

# want_packages ROLE...: the same for what one can do without: says so, and goes on.
want_packages() {
    (need_packages "$@") || say "going on without; what needs them is skipped"
}

apt_install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" </dev/null >"$top/.apt.log" 2>&1 && rm -f "$top/.apt.log" && return 0
    tail -n 3 "$top/.apt.log" >&2
    rm -f "$top/.apt.log"
    return 1
}

# build_in DIR CONFIGURE-OPTION...: configured out of tree in DIR and built.
build_in() {
    dir=$1
    shift
    if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] || [ -n "$(find "$top" -name module.am -newer "$top/configure" -not -path "$top/build*" | head -n 1)" ]; then
        say "autoreconf"
        (cd "$top" && autoreconf -i) >"$top/.autoreconf.log" 2>&1 || { cat "$top/.autoreconf.log" >&2; die "autoreconf failed"; }
        rm -f "$top/.autoreconf.log"
    fi
    mkdir -p "$dir"
    if [ ! -f "$dir/Makefile" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ] || [ "$top/configure" -nt "$dir/Makefile" ]; then
        say "configure $*"
        (cd "$dir" && "$top/configure" -q "$@") || die "configure failed; see $dir/config.log"
        printf '%s' "$*" >"$dir/.options"
    fi
    say "make"
    make -s -C "$dir" -j"$JOBS" || die "the build failed (its messages stand above)"
}
