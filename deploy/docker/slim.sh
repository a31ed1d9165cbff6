#!/bin/sh
# Remove from the environment $1 what no process runs: tests, C headers, stubs, debug symbols, and parts of packages that
# nothing here imports. The build imports every process afterwards.
set -eu
cd "$1"/lib/python3.*/site-packages
find . -depth -type d \( -name tests -o -name test -o -name include \) -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.a' -o -name '*.h' \) -delete
# Arrow: RPC, ORC and file systems of clouds; CSV, JSON and Parquet stay.
rm -rf pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight*.so pyarrow/src \
  pyarrow/_substrait*.so pyarrow/_orc*.so pyarrow/_dataset_orc*.so \
  pyarrow/libarrow_python_parquet_encryption.so* pyarrow/_parquet_encryption*.so pyarrow/_dataset_parquet_encryption*.so \
  pyarrow/libarrow_s3.so* pyarrow/_s3fs*.so pyarrow/_gcsfs*.so pyarrow/_azurefs*.so pyarrow/_hdfs*.so pyarrow/_pyarrow_cpp*.so
# Wheels have no links: the same library lies there under three names.
for library in pyarrow/*.so.*.*.*; do
  [ -e "$library" ] || continue
  soname=${library%.*.*}
  rm -f "$soname" "${library%%.so*}.so"
  mv "$library" "$soname"
done
# Traces are sent in Protobuf; messages of Google's own services come along.
rm -rf google/api google/cloud google/gapic google/logging google/longrunning google/rpc google/type
# The names of every system's attributes come along too; the SDK knows traces by OpenTelemetry's own.
find opentelemetry/semconv/_incubating -type f ! -name '__init__.py' ! -name 'otel_*.py' -delete
# The same time zones are in the package tzdata, and newer.
rm -rf pytz/zoneinfo
ln -s ../tzdata/zoneinfo pytz/zoneinfo
# The API's page of its document is Swagger UI.
rm -f fastapi_offline/static/redoc.standalone.js
# The console speaks English and Chinese.
find babel/locale-data -type f ! -name 'root.dat' ! -name 'en*.dat' ! -name 'zh*.dat' ! -name 'LICENSE*' -delete
rm -rf numpy/f2py numpy/distutils numpy/testing numpy/random numpy/polynomial numpy/fft numpy/_core/_simd*.so numpy/_core/_*_tests*.so sqlalchemy/testing alembic/testing \
  sqlalchemy/dialects/mysql sqlalchemy/dialects/mssql sqlalchemy/dialects/oracle
find pygments/lexers -type f ! -name '__init__.py' ! -name '_mapping.py' ! -name 'python.py' -delete
# Libraries in `….libs` were laid out anew by the wheel's maker, and strip would break them.
find . -type f -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
