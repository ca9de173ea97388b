# libxgc as others use it: one static and one shared library, the header, a pkg-config file and a CMake package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The library's functions without the command's.
set(xgc_api driver/api.c driver/api_model.c driver/api_binary.c driver/api_explain.c driver/api_patterns.c
            driver/api_result.c driver/api_run.c driver/result_print.c
            driver/operators.c driver/api_quantize.c driver/front_options.c driver/quantize_print.c)
add_library(xgc_api OBJECT ${xgc_api})
target_link_libraries(xgc_api PRIVATE xg_validate)

# Only xgc_* leaves the shared library.
add_library(xgc_shared SHARED $<TARGET_OBJECTS:xgc_api>)
target_link_libraries(xgc_shared PRIVATE xg_validate)
target_link_options(xgc_shared PRIVATE -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/xgc.map)
set_target_properties(xgc_shared PROPERTIES OUTPUT_NAME xgc VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C
                      LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/xgc.map)

# One archive of all folders' archives.
set(archive ${CMAKE_CURRENT_BINARY_DIR}/libxgc.a)
set(folders xg_validate xg_layout xg_assembler xg_fusion xg_xgraph xg_isa xg_base)
set(script "CREATE ${archive}\n")
foreach(folder ${folders})
  string(APPEND script "ADDLIB $<TARGET_FILE:${folder}>\n")
endforeach()
string(APPEND script "ADDMOD $<JOIN:$<TARGET_OBJECTS:xgc_api>,\nADDMOD >\nSAVE\nEND\n")
file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/libxgc.mri CONTENT "${script}")
add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} -M < ${CMAKE_CURRENT_BINARY_DIR}/libxgc.mri
  COMMAND ${CMAKE_RANLIB} ${archive}
  DEPENDS ${folders} xgc_api $<TARGET_OBJECTS:xgc_api> ${CMAKE_CURRENT_BINARY_DIR}/libxgc.mri VERBATIM)
add_custom_target(xgc_static ALL DEPENDS ${archive})

install(TARGETS xgc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS xgc_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/driver/xgc.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

configure_file(${CMAKE_CURRENT_LIST_DIR}/xgc.pc.in ${CMAKE_CURRENT_BINARY_DIR}/xgc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/xgc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/xgc-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/xgc-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/xgc
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/xgc-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/xgc-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/xgc-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/xgc)
