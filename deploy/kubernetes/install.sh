#!/bin/sh
# Puts berth onto a Kubernetes node and takes it away again: the steps of the DaemonSet in installer.yaml, and by hand the same.
#
#   install.sh install     files, containerd's configuration, and a restart of containerd where that has changed; repeating it changes nothing
#   install.sh uninstall   the reverse, to the byte; refused while containers of berth are there
#   install.sh check       whether all of it is in place (the readiness of the DaemonSet's pods)
#   install.sh run         install, wait for SIGTERM, uninstall
#
# Environment, with what holds without:
#   SOURCE=/usr/local/lib/berth/VERSION  what `make install` made
#   HOST=                                prefix of the node's paths: where a pod has them mounted
#   OPT=/opt/berth                       where berth lies on the node, a directory for each build
#   SHIM_DIR=/opt/containerd/bin         containerd puts this one into its own PATH (plugin io.containerd.internal.v1.opt)
#   CONFIG=/etc/containerd/config.toml   containerd's configuration
#   CONF_D=/etc/containerd/conf.d        where a drop-in goes; else beside CONFIG
#   STATE=/run/berth                     where containers of berth have their state: tells who is there
#   RESTART=                             a command that restarts containerd and fails where it does not come back; without one it is only said
#   OWNER=                               who installs (the pod's uid): uninstall leaves alone what another one has installed since
#   DRAIN_SECONDS=0                      how long uninstall waits for containers to end before it refuses
set -eu
umask 022

HOST=${HOST:-}
OPT=${OPT:-/opt/berth}
SHIM_DIR=${SHIM_DIR:-/opt/containerd/bin}
CONFIG=${CONFIG:-/etc/containerd/config.toml}
CONF_D=${CONF_D:-$(dirname "$CONFIG")/conf.d}
STATE=${STATE:-/run/berth}
RESTART=${RESTART:-}
OWNER=${OWNER:-}
DRAIN_SECONDS=${DRAIN_SECONDS:-0}

shim=containerd-shim-berth-v2
opt=$HOST$OPT
config=$HOST$CONFIG
drop_in=$HOST$CONF_D/berth.toml
BEGIN='# berth: begin (install.sh uninstall takes it away)'
END='# berth: end'
# Put into a list of imports that is there; TOML allows the comma at its end.
IMPORT="\"$CONF_D/berth.toml\", "
# All of a configuration that there was none of, but for the block.
MADE='# Made by install.sh of berth, and removed by it unless something is added.
version = 2'
line_feed='
'

say() { echo "berth: $*"; }
die() {
  echo "berth: $*" >&2
  exit 1
}

# ---- files -------------------------------------------------------------------------------------------------------------
# A build has a directory of its own that appears complete and is never written to: containers that run go on with theirs, and
# their controller is started from there whenever it is needed.
build() { echo "$(basename "$SOURCE")-$(cat "$SOURCE/dist/build-id")"; }

# swap TARGET LINK: by rename, so that there is no moment without it
swap() {
  [ "$(readlink "$2" 2>/dev/null)" != "$1" ] || return 0
  rm -f "$2.new"
  ln -s "$1" "$2.new"
  mv -f "$2.new" "$2"
}

# Makes a directory, and notes which of its path uninstall has to remove again, the innermost first.
directory() {
  missing=
  dir=$1
  while [ ! -d "$dir" ]; do
    missing=$missing${dir#"$HOST"}$line_feed
    dir=$(dirname "$dir")
  done
  [ -n "$missing" ] || return 0
  mkdir -p "$1"
  { printf %s "$missing"; cat "$opt/made" 2>/dev/null || true; } >"$opt/made.new"
  mv -f "$opt/made.new" "$opt/made"
}

place() {
  directory "$opt/bin"
  name=$(build)
  if [ ! -d "$opt/$name" ]; then
    rm -rf "$opt/.new"
    cp -R "$SOURCE" "$opt/.new"
    sync # after a loss of power, a name that came to the disk before the data would be of empty programs
    mv "$opt/.new" "$opt/$name"
  fi
  swap "../$name/bin/berth" "$opt/bin/berth"
  swap "../$name/bin/berth" "$opt/bin/$shim"
  directory "$HOST$SHIM_DIR"
  swap "$OPT/bin/$shim" "$HOST$SHIM_DIR/$shim"
  echo "$OWNER" >"$opt/owner.new"
  mv -f "$opt/owner.new" "$opt/owner"
}

# Containers of berth on the node, by containerd (STATE/.shim/DAEMON/NAMESPACE/ID) or by hand (STATE/ID).
containers() {
  for dir in "$HOST$STATE"/.shim/*/*/* "$HOST$STATE"/[!.]*; do
    if [ -d "$dir" ]; then basename "$dir"; fi
  done
}

# Other builds go as soon as no container can need them.
prune() {
  [ -z "$(containers)" ] || return 0
  for old in "$opt"/*-*; do
    if [ -d "$old" ] && [ "$old" != "$opt/$(build)" ]; then rm -rf "$old"; fi
  done
}

# ---- containerd's configuration ----------------------------------------------------------------------------------------
# The version that a file says is what its tables are called after, whatever containerd reads it: 2 is read by 1.6, 1.7 and 2.x alike.
# There the handler is a block at the end of the main file, as 1.6 and 1.7 take a plugin's whole section from an import that has a part
# of it. From version 3 on (2.x only) sections are merged, from imports of the same version: the handler is a drop-in.

# list KEY FILE: the strings of a list above the first table, a line each
list() {
  awk -v key="$1" '
    /^[ \t]*\[/ && !inside { exit }
    !inside && $0 ~ "^[ \t]*" key "[ \t]*=" { inside = 1; sub(/^[^=]*=/, "") }
    inside {
      sub(/#.*/, "")
      rest = $0
      while (match(rest, /["\047][^"\047]*["\047]/)) {
        print substr(rest, RSTART + 1, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
      }
      if ($0 ~ /\]/) exit
    }' "$2"
}

version() { awk '/^[ \t]*\[/ { exit } /^[ \t]*version[ \t]*=/ { sub(/#.*/, ""); gsub(/[^0-9]/, ""); print; exit }' "$1"; }

# Annotations io.berth.* of pods reach berth, which refuses those that it does not know; no others do.
handler() {
  case $1 in 2) plugin=io.containerd.grpc.v1.cri ;; *) plugin=io.containerd.cri.v1.runtime ;; esac
  echo "[plugins.\"$plugin\".containerd.runtimes.berth]"
  echo '  runtime_type = "io.containerd.berth.v2"'
  echo '  pod_annotations = ["io.berth.*"]'
  echo '  container_annotations = ["io.berth.*"]'
}
block() { printf '\n%s\n%s\n%s\n' "$BEGIN" "$(handler 2)" "$END"; }

# Whether the last line has its end: 1 or 0. What is taken out or put in leaves it as it is.
terminated() { tail -c 1 "$1" | wc -l; }

# without FILE: the file as it was before. What was put in is the block with a line feed before it, or one at the top, or one string in
# a list: so its reverse needs no copy of the file, and keeps what others have changed since.
without() {
  awk -v begin="$BEGIN" -v end="$END" -v import="$IMPORT" -v terminated="$(terminated "$1")" '
    $0 == begin { inside = 1; between = ""; next }
    inside { if ($0 == end) { inside = 0; closed = 1 } next }
    {
      if ((at = index($0, import)) && /^[ \t]*imports[ \t]*=/) $0 = substr($0, 1, at - 1) substr($0, at + length(import))
      printf "%s%s", between, $0
      between = "\n"; closed = 0; some = 1
    }
    END { if (some && !closed && terminated) print "" }' "$1"
}

# with FILE: the file, of those that lack it, with what berth needs there
with() {
  if [ "$(version "$1")" = 2 ]; then
    cat "$1"
    block
  elif imported "$1"; then
    cat "$1"
  elif awk '/^[ \t]*\[/ { exit } /^[ \t]*imports[ \t]*=[ \t]*\[/ { there = 1; exit } END { exit !there }' "$1"; then
    awk -v import="$IMPORT" -v terminated="$(terminated "$1")" '
      !done && /^[ \t]*imports[ \t]*=[ \t]*\[/ { at = index($0, "["); $0 = substr($0, 1, at) import substr($0, at + 1); done = 1 }
      { printf "%s%s", between, $0; between = "\n" }
      END { if (terminated) print "" }' "$1"
  else
    printf '%s\nimports = ["%s"]\n%s\n' "$BEGIN" "$CONF_D/berth.toml" "$END"
    cat "$1"
  fi
}

# Whether the drop-in is imported: by name, or by a pattern for its directory.
imported() {
  list imports "$1" | {
    while IFS= read -r pattern; do
      case $pattern in /*) ;; *) pattern=$(dirname "$CONFIG")/$pattern ;; esac
      [ "$(dirname "$pattern")" = "$CONF_D" ] || continue
      pattern=$(basename "$pattern")
      name=$(basename "$drop_in")
      # shellcheck disable=SC2254
      case $name in $pattern) exit 0 ;; esac # as a pattern
    done
    exit 1
  }
}

# Whether somebody else has made a handler of that name: a second one would keep containerd from starting.
foreign() { without "$1" | grep -qE '^[[:space:]]*\[plugins\..*\.runtimes\."?berth"?\]'; }

# containerd 2.2 and later read CONF_D without being told: with files of others there and no main one, that is how this node is configured.
conf_d_only() {
  [ ! -e "$config" ] || return 1
  for file in "$HOST$CONF_D"/*.toml; do
    if [ -e "$file" ] && [ "$file" != "$drop_in" ]; then return 0; fi
  done
  return 1
}

suitable() {
  link=$HOST$SHIM_DIR/$shim
  if [ -L "$link" ] || [ -e "$link" ]; then
    [ "$(readlink "$link")" = "$OPT/bin/$shim" ] || die "$SHIM_DIR/$shim is there, and not from here: remove it first"
  fi
  [ ! -L "$config" ] || die "$CONFIG is a symbolic link: set CONFIG to the file that it leads to"
  [ -e "$config" ] || return 0
  case $(version "$config") in
    '' | 0 | 1) die "$CONFIG says no version, or 1: convert it with \`containerd config migrate\` first" ;;
  esac
  if list disabled_plugins "$config" | grep -qxE 'cri|io\.containerd\.grpc\.v1\.cri|io\.containerd\.cri\.v1\.runtime'; then
    die "$CONFIG has CRI among its disabled_plugins: no kubelet uses this containerd"
  fi
}

# replace FILE: by standard input, at once, with owner and mode as they are; not where it is the same
replace() {
  if [ -e "$1" ]; then cp -p "$1" "$1.berth-new"; else directory "$(dirname "$1")"; fi
  cat >"$1.berth-new"
  if cmp -s "$1.berth-new" "$1"; then
    rm "$1.berth-new"
  else
    : >"$opt/restart" # holds until containerd has read it, even if this process ends before
    mv -f "$1.berth-new" "$1"
    say "changed ${1#"$HOST"}"
  fi
}

remove() {
  [ -e "$1" ] || return 0
  : >"$opt/restart"
  rm "$1"
  say "removed ${1#"$HOST"}"
}

configure() {
  if conf_d_only; then
    { echo 'version = 3'; handler 3; } | replace "$drop_in"
  elif [ ! -e "$config" ]; then
    { echo "$MADE"; block; } | replace "$config"
  elif foreign "$config"; then
    say "$CONFIG has a handler \"berth\" that is not from here: left as it is"
  else
    version=$(version "$config")
    [ "$version" = 2 ] || { echo "version = $version"; handler "$version"; } | replace "$drop_in"
    # from what it was, so that a block of an earlier berth is replaced
    without "$config" >"$opt/before"
    with "$opt/before" | replace "$config"
    rm "$opt/before"
  fi
}

unconfigure() {
  if [ -e "$config" ]; then
    if [ "$(without "$config")" = "$MADE" ]; then remove "$config"; else without "$config" | replace "$config"; fi
  fi
  remove "$drop_in"
}

# Where containerd has not read its configuration since it was changed here.
restart() {
  [ -e "$opt/restart" ] || return 0
  if [ -z "$RESTART" ]; then
    say "containerd has to be restarted: its configuration has changed"
  else
    say "restarting containerd: $RESTART"
    sh -c "$RESTART" || return 1
  fi
  rm "$opt/restart"
}

# ---- verbs -------------------------------------------------------------------------------------------------------------
install() {
  [ -n "${SOURCE:-}" ] || for SOURCE in /usr/local/lib/berth/*; do :; done
  [ -x "$SOURCE/bin/berth" ] || die "SOURCE=$SOURCE is no installation of berth: run make install"
  suitable
  place
  configure
  if ! restart; then
    unconfigure
    restart || die "containerd did not start, and does not with its configuration as it was either: see its log"
    die "containerd did not start with the handler in its configuration, which is as it was again: see its log"
  fi
  prune
  say "installed $(build)"
}

uninstall() {
  if [ ! -d "$opt/bin" ]; then
    say "not installed"
    return 0
  fi
  waited=0
  while :; do
    if [ -n "$OWNER" ] && [ "$(cat "$opt/owner")" != "$OWNER" ]; then
      say "another one has installed since: nothing to take away"
      return 0
    fi
    [ -n "$(containers)" ] || break
    [ "$waited" -lt "$DRAIN_SECONDS" ] ||
      die "stays, as containers run with it: $(containers | tr '\n' ' ')(remove them, then run install.sh uninstall again)"
    sleep 1
    waited=$((waited + 1))
  done
  unconfigure
  restart || die "containerd does not start with its configuration as it was before: see its log"
  if [ "$(readlink "$HOST$SHIM_DIR/$shim")" = "$OPT/bin/$shim" ]; then rm "$HOST$SHIM_DIR/$shim"; fi
  made=$(cat "$opt/made" 2>/dev/null || true)
  rm -rf "${opt:?}"/* "$opt/.new"
  # mounts of a pod stay, and what others have put into directories since
  echo "$made" | while IFS= read -r dir; do rmdir "$HOST$dir" 2>/dev/null || true; done
  say "uninstalled"
}

check() {
  [ -x "$opt/bin/$shim" ] || die "$OPT/bin/$shim is not there"
  [ "$(readlink "$HOST$SHIM_DIR/$shim")" = "$OPT/bin/$shim" ] || die "$SHIM_DIR/$shim does not lead to $OPT/bin/$shim"
  [ ! -e "$opt/restart" ] || die "containerd has not read its configuration since it was changed"
  if ! conf_d_only; then
    [ -e "$config" ] || die "$CONFIG is not there any more"
    ! foreign "$config" || return 0
    if [ "$(version "$config")" = 2 ]; then
      grep -qxF "$BEGIN" "$config" || die "$CONFIG has lost the handler \"berth\""
      return 0
    fi
    imported "$config" || die "$CONFIG does not import $CONF_D/berth.toml any more"
  fi
  [ -e "$drop_in" ] || die "$CONF_D/berth.toml is not there any more"
}

run() {
  sleeper=
  # a trap runs once `wait` returns, which a signal makes it do
  trap '[ -z "$sleeper" ] || kill "$sleeper"; uninstall; exit 0' TERM INT
  install
  while :; do
    sleep 3600 &
    sleeper=$!
    wait "$sleeper" || true
  done
}

case ${1:-} in
  install | uninstall | check | run) "$1" ;;
  *)
    sed -n 's/^#   \{0,1\}install\.sh /install.sh /p' "$0" >&2
    exit 2
    ;;
esac
