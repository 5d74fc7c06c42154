/* Forgets the macros of privsep.def and seccomp.def: included behind each of them. */
#undef FILTER
#undef ALLOW
#undef WHEN
#undef WHEN2
#undef ANSWER
#undef REFUSE
#undef REFUSE_WHEN
#undef ALSO
#undef PROCESS
#undef CAPABILITY
#undef LIMIT
#undef FD
#undef FDS
#undef HOLDS
#undef TRUST
#undef END
