# xgc_protobuf(target file.proto...): C sources made by protoc-c, compiled into the target without our warnings.
find_program(PROTOC_C protoc-c REQUIRED)
function(xgc_protobuf target)
  foreach(proto ${ARGN})
    get_filename_component(folder ${proto} DIRECTORY)
    get_filename_component(base ${proto} NAME_WE)
    set(out ${CMAKE_BINARY_DIR}/${folder}/${base}.pb-c)
    add_custom_command(
      OUTPUT ${out}.c ${out}.h
      COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR} --c_out=${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/${proto} VERBATIM)
    target_sources(${target} PRIVATE ${out}.c ${out}.h)
    set_source_files_properties(${out}.c PROPERTIES COMPILE_OPTIONS "-w")
  endforeach()
endfunction()
