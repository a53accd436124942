# Sets $python to a Python of version 3.11 or newer; read by bin/gms and bin/test.
python=
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "gms: Python 3.11 or newer is needed and was not found. Install it" \
        "(Debian, Ubuntu: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3 $0" >&2
    exit 1
fi
