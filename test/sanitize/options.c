/* The sanitizers' options for the program's own processes: monitors have neither an environment nor a standard error to report on.
 * Leaks are not looked for: processes end by execve or with everything they own. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:log_path=/tmp/berth-sanitizer"; }
const char *__ubsan_default_options(void) { return "print_stacktrace=1:log_path=/tmp/berth-sanitizer"; }
