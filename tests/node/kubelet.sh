#!/bin/sh
# kubelet.sh MIRROR PROGRAM: kubelet from Debian 12's source package, which has it and builds no package of it. With the
# compiler of the same release, out of its packages; nothing is installed.
set -eu
mirror=$1
program=$(realpath "$2")
work=$program.build
go=$work/usr/lib/go-1.19/bin/go
source=$work/go/src/k8s.io/kubernetes

rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$source"
cd "$work"
for kind in deb deb-src; do
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main"
done >sources.list
apt() {
    apt-get --quiet=2 -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
apt update
apt source --download-only kubernetes
apt download golang-1.19-go golang-1.19-src
for package in ./*.deb; do
    dpkg --extract "$package" .
done
tar --extract --file "$(echo kubernetes_*.orig.tar.gz)" --strip-components=1 --directory "$source"

# The package's own way, for one program: with what its source brings along, and nothing from elsewhere.
version=$(sed -n 's/^Version: .*really\([0-9.]*\)-.*/v\1/p' kubernetes_*.dsc)
cd "$source"
GOROOT=${go%/bin/go} GOPATH=$work/go GOCACHE=$work/cache/go GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-trimpath \
    "$go" build -o "$program.part" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
    k8s.io/kubernetes/cmd/kubelet
mv "$program.part" "$program"
rm -rf "$work"
