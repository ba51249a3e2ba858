@echo off
rem Starts MetIA server on Windows: finds a Python, the rest is services\bootstrap.py and services\launcher.py.
rem   start_services.bat --help   says what it can do
setlocal
set "PYTHON="
for %%P in ("py -3" "python" "python3") do if not defined PYTHON %%~P -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && set "PYTHON=%%~P"
if not defined PYTHON (
    echo Python 3.11 or newer is needed: https://www.python.org/downloads/ 1>&2
    exit /b 1
)
%PYTHON% "%~dp0services\bootstrap.py" %*
exit /b %errorlevel%
