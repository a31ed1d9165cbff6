#!/bin/sh
# Remove from the environment $1 what no process runs: tests, C headers, stubs, and parts of Arrow that exports do not use.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
cd "$packages"
find . -depth -type d \( -name tests -o -name test -o -name include \) -not -path './attrikit*' -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' \) -delete
# Arrow: RPC, query plans of other engines, ORC and data sets; CSV, JSON and Parquet stay.
rm -rf pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight*.so \
  pyarrow/libarrow_substrait.so* pyarrow/_substrait*.so pyarrow/src pyarrow/_orc*.so \
  pyarrow/libarrow_python_parquet_encryption.so* pyarrow/_parquet_encryption*.so
rm -rf numpy/f2py numpy/distutils
