# Turns the files of pages/ into one .cpp: cmake -D PAGES=<folder> -D OUTPUT=<file> -P embed_pages.cmake
#
# The program then carries its page inside and needs no folder at run time. index.html is the template, every other file is
# served at its path below pages/. The ETag is the content's hash, so a new build is a new file for browsers and nothing else is.
# SPDX-License-Identifier: Apache-2.0

set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")

file(GLOB_RECURSE files RELATIVE ${PAGES} ${PAGES}/*)
list(SORT files)

set(arrays "")
set(rows "")
set(number 0)
foreach(file ${files})
  file(READ ${PAGES}/${file} hex HEX)
  # Bytes, not a string literal: no length limit, nothing to escape.
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND arrays "constexpr char kFile${number}[] = {${bytes}'\\0'};\n")
  set(body "std::string_view(kFile${number}, sizeof kFile${number} - 1)")
  if(file STREQUAL "index.html")
    set(index "${body}")
  else()
    string(REGEX REPLACE ".*\\." "" extension "${file}")
    if(NOT DEFINED type_${extension})
      message(FATAL_ERROR "pages/${file}: no content type is known for .${extension}")
    endif()
    file(SHA256 ${PAGES}/${file} hash)
    string(SUBSTRING "${hash}" 0 16 hash)
    string(APPEND rows "    {\"/${file}\", \"${type_${extension}}\", \"\\\"${hash}\\\"\", ${body}},\n")
  endif()
  math(EXPR number "${number} + 1")
endforeach()

file(WRITE ${OUTPUT} "// Made from pages/ by tools/embed_pages.cmake.
#include \"web/pages.h\"

namespace boardbus::web {
namespace {

${arrays}
constexpr Asset kAssets[] = {
${rows}};

}  // namespace

EmbeddedPages embedded_pages() { return {kAssets, ${index}}; }

}  // namespace boardbus::web
")
