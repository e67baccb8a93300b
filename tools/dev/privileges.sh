# Who may install system packages here, and how. To be sourced.

# As root or in CI, where there is apt; a person's machine is left alone and told what to run.
may_install_system_packages() {
  command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ "${CI:-}" = true ]; }
}

# install_system_packages NAME...
install_system_packages() {
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing system packages: $*"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}
