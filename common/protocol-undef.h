/* Takes back the macros that an include of protocol.def was given. Included after each one. */
#undef MSG
#undef STRUCT
#undef FIELD
#undef STRINGS
#undef NESTED
#undef LIST
#undef END
