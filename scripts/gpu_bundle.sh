#!/bin/sh
# Writes muscale-gpu/ and muscale-gpu.tar.xz in the build directory: muscale, gpu-check and gpu-bench with every shared library
# they need but the C library's and the driver's, for one's own GPU machine that has no packages and no network. cuBLASLt
# (and cuDNN) are not in it: they are larger than everything else together and are on a machine with CUDA.
# Not for redistribution: the libraries in it have licences of their own.
#   gpu_bundle.sh SRCDIR
set -eu
src=$1
out=muscale-gpu
[ -x muscale ] && [ -x tests/gpu/gpu_present ] || { echo "gpu-bundle: this build has no CUDA; configure where nvcc is" >&2; exit 1; }

rm -rf $out $out.tar.xz
mkdir -p $out/lib $out/tests/gpu $out/bench/peers
for p in muscale tests/gpu/gpu_present tests/gpu/gpu_step bench/gpu_bench tests/gpu/cuda_*; do
    [ -f "$p" ] && [ -x "$p" ] || continue
    strip --strip-debug -o "$out/$p" "$p"
done
cp "$src/tests/gpu/gpu_check.sh" $out/tests/gpu/
cp "$src/bench/gpu_bench.sh" $out/bench/
cp "$src"/bench/peers/torch_step.py "$src"/bench/peers/jax_step.py $out/bench/peers/

# The loader's own answer is the closure. The C library and what belongs to it must be the target's; so must the driver.
closure() {
    find $out -type f -perm -u+x ! -name '*.sh' ! -name '*.py' -exec ldd {} + | awk '
        /=> not found/ { print "gpu-bundle: " $1 " is not found here" >"/dev/stderr"; bad = 1 }
        $2 == "=>" && $3 ~ /^\// { print $3 }
        END { exit bad }' | sort -u
}
closure >$out/lib/.list || exit 1
while read -r lib; do
    case ${lib##*/} in
    ld-linux* | libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libresolv.so* | libutil.so* | libcuda.so*) ;;
    *) cp -L "$lib" $out/lib/ && chmod u+w "$out/lib/${lib##*/}" && strip --strip-debug "$out/lib/${lib##*/}" 2>/dev/null || true ;;
    esac
done <$out/lib/.list
rm $out/lib/.list
glibc=$(find $out -type f -perm -u+x ! -name '*.sh' ! -name '*.py' -exec objdump -T {} + 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -u -V | tail -n 1)

launcher() { # NAME SCRIPT
    cat >$out/"$1" <<END
#!/bin/sh
# $1 of a bundle: runs from wherever this folder lies.
here=\$(cd "\$(dirname "\$0")" && pwd)
GPU_LIBRARY_PATH=\${LD_LIBRARY_PATH-}
path=\$here/lib
# cuBLASLt, cuDNN and CUPTI: where CUDA usually is, then where Python's packages put them.
for d in "\${CUDA_HOME:-/usr/local/cuda}"/lib64 "\${CUDA_HOME:-/usr/local/cuda}"/extras/CUPTI/lib64 /usr/local/cuda-*/lib64 \\
    /opt/*/.venv/lib/python3*/site-packages/nvidia/*/lib; do
    [ -d "\$d" ] && path=\$path:\$d
done
LD_LIBRARY_PATH=\$path\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
GPU_ROOT=\$here
export LD_LIBRARY_PATH GPU_LIBRARY_PATH GPU_ROOT
exec $2 "\$@"
END
    chmod 755 $out/"$1"
}
launcher gpu-check '"$here/tests/gpu/gpu_check.sh"'
launcher gpu-bench '"$here/bench/gpu_bench.sh"'
launcher muscale-here '"$here/muscale"'
cat >$out/README <<END
muscale for a machine with a GPU and nothing else. Needs an NVIDIA driver, CUDA's libcublasLt.so.13 (LD_LIBRARY_PATH or
CUDA_HOME where it is not in /usr/local/cuda), x86-64, and a C library with $glibc or later.

  ./gpu-check                  every kernel, whole steps, resume, compute-sanitizer where it is: PASS, FAIL, SKIP lines
  ./gpu-bench                  the table of speeds; PyTorch and JAX beside it where python3 has them
  ./gpu-bench --ops d256 32    every op of a step against its bound, the largest gap first
  ./gpu-bench --trace d128 1   every kernel of a step as it ran (libcupti)
  ./muscale-here train ...     muscale itself

Exit 77: no device. For your own machine, not for redistribution.
END
tar -cJf $out.tar.xz $out
echo "$out.tar.xz: $(du -h $out.tar.xz | cut -f 1) packed, $(du -sh $out | cut -f 1) unpacked, $(ls $out/lib | wc -l) libraries, needs $glibc"
