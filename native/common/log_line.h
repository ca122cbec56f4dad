/* A line in the log of who started us: a FIFO that it reads. */
#ifndef BERTH_LOG_LINE_H
#define BERTH_LOG_LINE_H

/* Writes `message` as a warning, with the time, unless nobody reads: what can't be told is no failure. Never blocks. */
void log_line(const char *fifo, const char *message);

#endif
