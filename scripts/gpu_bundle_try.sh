#!/bin/sh
# gpu_bundle_try.sh BUNDLE: starts everything in a bundle where there is nothing else: a root directory that holds a shell, the
# C library and the bundle, no environment, no network. Without a device each program must say so (77), none may miss a
# library. Needs the right to chroot; else says that it was not tried. Where a device is, it is hidden by the empty /dev.
set -eu
bundle=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
PATH=$PATH:/usr/sbin
chroot=$(command -v chroot)
own="unshare -m"
[ "$(id -u)" = 0 ] || own="unshare -r -m"
mkdir -p "$root/bin" "$root/tmp" "$root/dev/shm" "$root/proc" "$root/far/away"
put() { # PROGRAM: it and what it loads
    cp -L "$1" "$root/bin/"
    ldd "$1" | grep -o '/[^ ]*' | while read -r lib; do
        mkdir -p "$root/$(dirname "$lib")"
        cp -L "$lib" "$root/$lib"
    done
}
for p in sh dirname rm mktemp; do put "$(command -v $p)"; done
# The rest of the C library, which a program may ask for by name, and its loader.
for lib in libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libresolv.so.2; do
    found=$(ldconfig -p | sed -n "s|.*$lib (libc6,x86-64.* => ||p" | head -n 1)
    [ -z "$found" ] || { mkdir -p "$root/$(dirname "$found")" && cp -L "$found" "$root/$found"; }
done
cp -r "$bundle" "$root/far/away/muscale-gpu"
# With /proc, in a mount namespace of its own: Criterion finds its tests through it.
mount="mount -t proc proc '$root/proc' 2>/dev/null || mount --rbind /proc '$root/proc' || exit 126"
inside() { env -i PATH="$PATH" $own sh -c "$mount; exec env -i $chroot '$root' \"\$@\"" try "$@"; }
if ! inside /bin/sh -c : 2>/dev/null; then
    echo "gpu-bundle: not tried in an empty root: no right to chroot here"
    exit 0
fi
bad=0
try() { # WANTED-STATUSES COMMAND...
    wanted=" $1 " rc=0
    shift
    inside "$@" >"$root/log" 2>&1 </dev/null || rc=$?
    case $wanted in *" $rc "*) wrong=0 ;; *) wrong=1 ;; esac
    [ $rc = 0 ] && grep -q 'Tested: *0 ' "$root/log" && wrong=1
    if [ $wrong = 1 ] || grep -q 'error while loading shared libraries\|version .* not found' "$root/log"; then
        echo "gpu-bundle: in an empty root, $* gave $rc instead of$wanted:"
        cat "$root/log"
        bad=1
    fi
}
here=/far/away/muscale-gpu
try 77 $here/gpu-check
try 77 $here/gpu-bench
try 77 $here/gpu-bench --ops d256 32
try 0 $here/muscale-here --version
for t in "$bundle"/tests/gpu/* "$bundle"/bench/*; do
    case $t in *.sh | */peers) continue ;; esac
    name=${t#"$bundle"/} statuses=77
    case $name in */cuda_*) statuses="77 0" ;; esac # some tests of theirs need no device
    try "$statuses" /bin/sh -c "cd $here && LD_LIBRARY_PATH=$here/lib $here/$name"
done
# The twin: without its libraries a program must not start, or the trial shows nothing.
rm -rf "$root$here/lib"
if inside /bin/sh -c "$here/muscale --version" >/dev/null 2>&1; then
    echo "gpu-bundle: muscale starts without its libraries: the trial is blind"
    bad=1
fi
[ $bad = 0 ] && echo "gpu-bundle: everything starts in an empty root, without a device: 77"
exit $bad
