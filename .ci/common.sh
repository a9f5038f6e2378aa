# Parts that the scripts of this folder share. Source it in the project's folder.

export DEBIAN_FRONTEND=noninteractive CARGO_TERM_COLOR=never

say() { printf '\n--- %s (%d s)\n' "$*" "$SECONDS"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Mirrors fail now and then.
retry() {
    local try
    for try in 1 2 3; do
        "$@" && return 0
        echo "attempt $try failed: $*" >&2
        sleep $((try * 5))
    done
    return 1
}

# as_root SCRIPT ARGUMENT…: goes on as root, by sudo, with the Rust of this user.
as_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    local name kept=("PATH=$PATH" "HOME=$HOME" "CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}" "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}")
    for name in CARGO_TARGET_DIR RCLONE TRANSCRIPT TREE; do
        [ -z "${!name:-}" ] || kept+=("$name=${!name}")
    done
    exec sudo --non-interactive env "${kept[@]}" "$@"
}

# Installs those of these Debian packages that are missing. PACKAGE/RELEASE names the one of that release, which may replace
# a newer one.
install_packages() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    echo "to install: ${missing[*]}"
    retry apt-get update -q && retry apt-get install -q -y --no-install-recommends --allow-downgrades "${missing[@]}"
}

# Adds a target to Rust. Toolchains of distributions have their targets in packages.
install_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] || retry rustup target add "$1"
}

# A cheap build, for a test that does not measure: nobody uses its programs, so they have a folder of their own. Only
# code that works on all data is optimised: without that the tests take longer than the build.
quick_profile() {
    local package
    export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/quick CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO=cargo
    for package in aes aes-gcm backy2 ghash hybrid-array polyval sha2 zstd-sys; do
        CARGO+=" --config profile.release.package.$package.opt-level=1"
    done
}

# copy_tree FOLDER: the files that belong to the project, as they are now.
copy_tree() {
    rm -rf "$1"
    mkdir -p "$1"
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        tar --null --files-from=- --create | tar --extract --directory "$1"
}

# refused PROGRAM TEXT: an image in Ceph is an error with this text, and not a crash.
refused() {
    local folder code=0 said
    folder=$(mktemp -d)
    "$1" -b "$folder/backup" init >/dev/null
    said=$("$1" -b "$folder/backup" backup rbd://pool/image name 2>&1) || code=$?
    rm -r "$folder"
    echo "$said"
    [ "$code" -eq 100 ] || [ "$code" -eq 1 ] || fail "rbd:// ended with exit code $code"
    grep -q -e "$2" <<<"$said" || fail "rbd:// does not say '$2'"
}
