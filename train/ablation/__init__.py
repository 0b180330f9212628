"""Every row of Tables 3 to 5 and their controls, trained and compared."""
