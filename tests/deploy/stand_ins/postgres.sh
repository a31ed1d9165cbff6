# Start PostgreSQL as its official image does: the first start makes user and database.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data/pgdata
PATH=$bin:$PATH
chown postgres /var/lib/postgresql/data
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -e "$data/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" > /tmp/password
  chown postgres /tmp/password
  as initdb -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 >/dev/null
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
  as pg_ctl -D "$data" -w -o "-c listen_addresses='' -k /tmp" start >/dev/null
  PGPASSWORD=$POSTGRES_PASSWORD as createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB" || true
  as pg_ctl -D "$data" -w stop >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -D "$data" -c listen_addresses='*' -k /tmp
