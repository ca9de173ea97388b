# xgc_embed(target name pattern...): the files become a table in the program:
#   const struct xg_embedded { const char *name, *text; size_t n; } xg_embedded_<name>[];  ends with a NULL name.
# name is the file name without folder and ending. Declared in base/embed.h.
function(xgc_embed target name)
  file(GLOB files CONFIGURE_DEPENDS ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/embed/${name}.c)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAME=${name} "-DFILES=${files}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
