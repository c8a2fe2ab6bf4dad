# Writes the bytes of FILE as the array `NAME` of the C++ source OUTPUT: cmake -D FILE=... -D NAME=... -D OUTPUT=... -P
# embed.cmake. The generated source declares `extern const unsigned char NAME[]` and `extern const std::size_t NAMESize`
# in the namespace NAMESPACE.
file(READ ${FILE} bytes HEX)
string(LENGTH ${bytes} digits)
math(EXPR size "${digits} / 2")
# A text is compiled in a moment, a list of numbers is not.
string(REGEX REPLACE "(..)" "\\\\x\\1" bytes ${bytes})
file(WRITE ${OUTPUT} "#include <cstddef>\n\nnamespace ${NAMESPACE} {\n"
  "extern const unsigned char ${NAME}[];\nextern const std::size_t ${NAME}Size;\n"
  "const unsigned char ${NAME}[] =\n\"${bytes}\";\nconst std::size_t ${NAME}Size = ${size};\n}\n")
