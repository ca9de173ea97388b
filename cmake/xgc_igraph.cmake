# xg_igraph: what the fusion stage links for igraph. The command takes the few functions it needs from the archive where
# there is one that links: the shared library brings sixteen others (BLAS, LAPACK, ICU, Fortran's), whose loading took a
# fifth of compiling a small model, and whose libquadmath makes every printf of the program slower. libxgc.so stays with
# the shared one.
include(CheckCSourceCompiles)
add_library(xg_igraph INTERFACE)
find_library(IGRAPH_ARCHIVE NAMES libigraph.a)
if(IGRAPH_ARCHIVE)
  set(CMAKE_REQUIRED_INCLUDES ${IGRAPH_INCLUDE_DIRS})
  set(CMAKE_REQUIRED_LIBRARIES ${IGRAPH_ARCHIVE} ${GLPK_LIBRARY} m)
  check_c_source_compiles("#include <igraph.h>
int main(void) {
    return igraph_create(0, 0, 0, 1) + igraph_get_subisomorphisms_vf2(0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}" IGRAPH_ARCHIVE_LINKS)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(IGRAPH_ARCHIVE_LINKS)
  set(in_command $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
  target_include_directories(xg_igraph SYSTEM INTERFACE ${IGRAPH_INCLUDE_DIRS})
  target_link_libraries(xg_igraph INTERFACE $<${in_command}:${IGRAPH_ARCHIVE}>
                        $<$<NOT:${in_command}>:PkgConfig::IGRAPH>)
else()
  target_link_libraries(xg_igraph INTERFACE PkgConfig::IGRAPH)
endif()
