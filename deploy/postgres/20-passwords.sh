#!/bin/sh
# The passwords of the two roles that log in, from files mounted as secrets.
set -eu
set_password() {
    psql --set=ON_ERROR_STOP=1 --set=role="$1" --set=password="$(cat "$2")" --username postgres <<'SQL'
ALTER ROLE :"role" PASSWORD :'password';
SQL
}
set_password yaosu_owner /run/secrets/pg_owner_password
set_password yaosu_app /run/secrets/pg_app_password
