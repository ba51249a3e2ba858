@echo off
rem Starts MetIA server on Windows: finds a Python, the rest is services\bootstrap.py and services\launcher.py.
rem   start_services.bat --help   says what it can do
setlocal
for %%P in ("py -3" "python" "python3") do (
    %%~P -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && (
        %%~P "%~dp0services\bootstrap.py" %*
        goto :end
    )
)
echo Python 3.11 or newer is needed: https://www.python.org/downloads/ 1>&2
exit /b 1
:end
exit /b %errorlevel%
