# Sourced. rustup's cargo looks for toolchains below HOME; where HOME is another (sudo, a clean environment) they
# are still beside the cargo that PATH has, so that is where to look.
if command -v cargo >/dev/null && ! cargo --version >/dev/null 2>&1; then
  _rustup=$(cd "$(dirname "$(command -v cargo)")/../.." && pwd)/.rustup
  if [ -d "$_rustup" ]; then
    RUSTUP_HOME=$_rustup
    export RUSTUP_HOME
  fi
  unset _rustup
fi
