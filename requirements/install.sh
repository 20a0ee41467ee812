# Sourced by ./run and ./test: `install run` or `install dev` makes .venv hold that lock file and
# every package of this repository, or says in one line what is missing and what to type.

stop() {
    printf '\n%s\n' "$1" >&2
    exit 1
}

find_python() {
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    stop '缺少 Python ≥ 3.11 / Python 3.11 or newer is missing. Type: sudo apt install python3 python3-venv'
}

# What ./run needs in .venv, as one number; a moved clone is another, for its paths have changed.
digest() {
    cat "requirements/$1.lock" cli/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml |
        cksum | tr ' ' '-'
    pwd
}

is_installed() {
    [ -x .venv/bin/yaosu ] && [ "$(digest "$1")" = "$(cat ".venv/installed-$1" 2>/dev/null)" ]
}

check_room() {
    [ -w . ] && { [ ! -e .venv ] || [ -w .venv ]; } ||
        stop "无法写入 / cannot write to $PWD. Type: sudo chown -R \"\$(id -un)\" '$PWD'"
    free_kb=$(df -Pk . | while read -r _ _ _ free _; do echo "$free"; done | tail -n 1)
    [ "$free_kb" -ge "$1" ] ||
        stop "磁盘空间不足 / disk full: $((free_kb / 1024)) MB free, $(($1 / 1024)) MB needed. Type: df -h '$PWD'"
}

# One at a time: a second script waits while the first installs. A link is made with its owner in
# it: whoever is killed between the two would keep all others waiting for ever.
lock() {
    waits=''
    until ln -s $$ .venv.lock 2>/dev/null; do
        owner=$(readlink .venv.lock) && ! kill -0 "$owner" 2>/dev/null && rm -f .venv.lock && continue
        [ -n "$waits" ] || echo '另一个命令正在安装，稍候 / another command installs, waiting for it …'
        waits=1
        sleep 1
    done
    trap 'rm -rf .venv.lock' EXIT
    trap 'exit 130' INT TERM HUP
}

unlock() {
    rm -rf .venv.lock
    trap - EXIT INT TERM HUP
}

# A site's mirror is said once, in pip's own way; uv does not read it by itself.
follow_pip() {
    index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
    [ -z "${PIP_NO_INDEX:-}" ] || export UV_NO_INDEX="${UV_NO_INDEX:-$PIP_NO_INDEX}"
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    export UV_PYTHON_DOWNLOADS=never
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-${PIP_DEFAULT_TIMEOUT:-30}}"
    [ -w "${HOME:-}/" ] && [ "${HOME:-/}" != / ] || export UV_CACHE_DIR="$PWD/.venv/cache"
}

fetch() {
    "$@" 2> .venv/install.log && return
    tail -n 5 .venv/install.log >&2
    case $(cat .venv/install.log) in
        *[Nn]o\ space\ left*) stop "磁盘空间不足 / disk full. Type: df -h '$PWD'" ;;
    esac
    stop '连不上软件包仓库 / no package registry within reach. Type: export PIP_INDEX_URL=<the address of your mirror>'
}

install_packages() {
    [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null ||
        "$python" -m venv --clear .venv || stop "无法建立虚拟环境 / cannot make .venv. Type: rm -rf '$PWD/.venv'"
    case $(.venv/bin/uv --version 2>/dev/null) in
        "uv $uv_version"*) ;;
        *) fetch .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            --no-cache-dir --timeout "${PIP_DEFAULT_TIMEOUT:-15}" --retries "${PIP_RETRIES:-1}" \
            "uv==$uv_version" ;;
    esac
    follow_pip
    uv="$PWD/.venv/bin/uv --quiet"
    export VIRTUAL_ENV="$PWD/.venv"
    fetch $uv pip sync "requirements/$1.lock"
    set --
    for member in libs/* services/* cli; do set -- "$@" -e "$member"; done
    fetch $uv pip install --no-deps "$@"
    rm -rf .venv/cache
}

uv_version=0.13.9

install() {
    kind=$1
    if [ "$kind" = run ]; then
        # What ./test installed is more than enough for ./run, which must not take it away.
        is_installed run || is_installed dev && return
        [ ! -x .venv/bin/pytest ] || kind=dev
    else
        is_installed dev && return
    fi
    find_python
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        stop "缺少 venv 模块 / Python's venv module is missing. Type: sudo apt install python3-venv"
    check_room 1000000
    lock
    if ! is_installed "$kind"; then
        echo '正在安装依赖，首次约需一分钟 / installing, about a minute the first time …'
        rm -f .venv/installed-*
        install_packages "$kind"
        digest "$kind" > ".venv/installed-$kind"
    fi
    unlock
}
