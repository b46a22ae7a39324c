#!/bin/sh
# Becomes a program whose root file system is read-only, as in ECS:  read_only_root.sh ROOT SHARED PULSES PROGRAM ARGUMENT …
# Run by `unshare --map-root-user --mount`. ROOT is an empty directory. /tmp is an empty one of the program's own, with what lies in
# SHARED shown read-only; PULSES can be written to.
set -eu
root=$1 shared=$2 pulses=$3
shift 3
here=$(pwd)
mount --rbind / "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$shared"
mount --rbind "$shared" "$root$shared"
mount -o remount,bind,ro "$root$shared"
mount --bind "$pulses" "$root$pulses"
# shellcheck disable=SC2016 # the inner shell's own arguments
exec chroot "$root" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$here" "$@"
