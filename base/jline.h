/* One line of a journal: a JSON object whose last member is "crc", the CRC-32 (zlib) of every byte before `,"crc"`, as
 * eight lower-case hex digits. jq and pandas read it as JSON lines; a torn or altered line shows itself. */
#ifndef BASE_JLINE_H
#define BASE_JLINE_H
#include <stdbool.h>
#include <stddef.h>

enum { JLINE_TAIL = 18 }; /* bytes of ,"crc":"xxxxxxxx"} */

/* body: a JSON object without its closing brace, n bytes, with room for JLINE_TAIL + 2 more in the same buffer. Appends the
 * tail and a newline; returns the line's whole length. */
size_t jline_seal(char *body, size_t n);

/* True when line (n bytes, without the newline) carries a correct CRC. */
bool jline_valid(const char *line, size_t n);
#endif
