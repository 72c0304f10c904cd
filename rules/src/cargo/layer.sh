# One layer of a cargo build. Run as `sh -c THIS layer WORKSPACE PACKAGE TARGET PROFILE CRATE FEATURES ARTIFACT STUBS…` in
# the input root; all is written below .run/out.
#
# WORKSPACE and PACKAGE are directories, each empty or with a `/` in front. ARTIFACT is what to keep, below the target
# directory; empty: keep the target directory itself, less what the layers below hold and less the crates STUBS.
set -eu
workspace=$1 package=$2 target=$3 profile=$4 crate=$5 features=$6 artifact=$7
shift 7
here=$PWD
out=$here/.run/out

# Cargo takes configuration from every directory above the one it runs in. What is above this one is no input.
above=$here
while [ -n "$above" ]; do
    above=${above%/*}
    for config in "$above/.cargo/config.toml" "$above/.cargo/config"; do
        if [ -e "$config" ]; then
            echo "cargo would read $config, which is no input of this build; point TMPDIR to a directory that it is not above" >&2
            exit 1
        fi
    done
done

# Cargo recompiles external crates whose path has changed, and compilers write paths into what they make. An open
# descriptor names this directory by the same path wherever it is, in this shell and in all it starts.
root=$here
exec 9<.
if [ -d /proc/self/fd/9/.run/ ]; then root=/proc/self/fd/9; fi

# What the layers below made is used in place: as links, which take no time and can't be written through.
mkdir -p "$out/target" "$out/home"
for layer in .run/layers/*/; do
    if [ -d "$layer" ]; then cp -Rsf "$here/$layer." "$out/target"; fi
done

# Compilers also write down the real name of the directory they run in. Cargo must not know of the flag that puts the other
# one in its place, for it would compile the layers below again. RUN_SHOWN, where it is set, is what paths show instead.
cat > "$out/home/rustc" <<'END'
#!/bin/sh
shown=${RUN_SHOWN:-$RUN_ROOT}
exec "$@" "--remap-path-prefix=$RUN_HERE=$shown" ${RUN_SHOWN:+"--remap-path-prefix=$RUN_ROOT=$shown"}
END
chmod +x "$out/home/rustc"
export RUN_HERE="$here" RUN_ROOT="$root" RUSTC_WRAPPER="$root/.run/out/home/rustc"

export CARGO_HOME="$root/.run/out/home" CARGO_BUILD_BUILD_DIR="$root/.run/out/target"
cargo() {
    command cargo "$@" --frozen --manifest-path "$root$package/Cargo.toml" --target-dir "$root/.run/out/target" \
        --target "$target" --profile "$profile"
}
if [ -d .run/fetch ]; then
    vendor() { cargo "$@" --config "$root/.run/fetch/config.toml" --config "source.vendored-sources.directory='$root/.run/fetch/vendor'"; }
else
    vendor() { cargo "$@"; }
fi

cd "$here$workspace"
vendor build "$crate" --features "$features"
cd "$out"

if [ -n "$artifact" ]; then
    mv "target/$artifact" component.wasm
    rm -rf target home
    exit
fi

# With equal times on every file, a stub would pass for the real crate: it goes.
n=$#
for stub; do set -- "$@" --package "path+file://$root$stub"; done
shift "$n"
if [ "$#" -gt 0 ]; then
    cd "$here$workspace"
    vendor clean --quiet "$@"
    cd "$out"
fi
# Kept is what this layer made, and nothing that tells when or on which machine.
find target -type l -lname "$here/.run/layers/*" -exec rm -f {} +
find target \( -name .cargo-lock -o -name .rustc_info.json \) -exec rm -f {} +
find target -depth -type d -empty ! -name out -exec rmdir {} +
mkdir -p target
rm -rf home
