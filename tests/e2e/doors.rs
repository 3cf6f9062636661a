//! The same policy gives the same verdict, whichever way it is asked, however often, under whatever
//! load; and what many ask at once is worked out once.
